"""Routes in memory; what every store does is in tests/integration/kas/private_api/test_route_stores.py."""

from __future__ import annotations

import pytest

from kasbah.kas.private_api.routes import InMemoryAgentRoutes


@pytest.mark.asyncio
async def test_nothing_is_left_of_an_agent_that_is_withdrawn():
    routes = InMemoryAgentRoutes(lambda: 0)
    await routes.publish("grpc://a:1", [7, 8])
    await routes.withdraw("grpc://a:1", [7, 8, 9])
    assert routes._routes == {}
