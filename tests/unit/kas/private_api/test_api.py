"""The private API as kas composes it."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.kas.private_api.api import PrivateApi
from kasbah.kas.private_api.routes import InMemoryAgentRoutes
from kasbah.kas.private_api.settings import PrivateApiSettings
from tests.doubles.loopback_agent import until
from tests.doubles.tunnel_pair import TunnelPair


@pytest.mark.asyncio
async def test_agents_of_its_registry_are_published_until_it_drains():
    routes = InMemoryAgentRoutes()
    api = PrivateApi(PrivateApiSettings(listens=(), own_url="grpc://a:1", secret=b"s" * 32), routes)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(api.run())
        pair = TunnelPair()
        api.registry.add(7, pair.kas.tunnel)
        await until(lambda: 7 in routes._routes)
        api.drain()
        api.registry.remove(7, pair.kas.tunnel)
        await until(lambda: 7 not in routes._routes)
        running.cancel()
