"""The instance's version and its kas."""

from __future__ import annotations

import msgspec
import pytest

from kasbah.hub import instance
from tests.doubles.rest_call import SITE, make_call


@pytest.mark.asyncio
async def test_both_routes_give_gitlabs_shape():
    for route in instance.routes():
        reply = await route.handler(make_call(), route.parameters())
        document = msgspec.to_builtins(reply.body)
        assert list(document) == ["version", "revision", "kas", "enterprise"]
        assert list(document["kas"]) == ["enabled", "externalUrl", "externalK8sProxyUrl", "version"]
        assert document["kas"]["externalK8sProxyUrl"] == SITE.k8s_proxy_external_url
