"""Which kas holds a tunnel of which agent: the same on every store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from kasbah.kas.private_api.redis_routes import RedisAgentRoutes
from kasbah.kas.private_api.routes import (
    ROUTE_TTL_S,
    AgentRoutes,
    InMemoryAgentRoutes,
    RoutesUnavailableError,
)
from tests.doubles.redis_server import RedisServer, client_of, running_server

A, B = "grpc://10.0.0.1:8155", "unix:///run/kas b"
SECRET = b"s" * 32


@dataclass
class Clock:
    now: float = 1_700_000_000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_server() as running:
        yield running


@pytest_asyncio.fixture(params=["memory", "redis"])
async def routes(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[AgentRoutes]:
    if request.param == "memory":
        yield InMemoryAgentRoutes(clock)
        return
    async with client_of(request.getfixturevalue("server").settings(key_prefix=request.node.name)) as client:
        yield RedisAgentRoutes(client, SECRET, clock)


@pytest.mark.asyncio
async def test_every_kas_that_says_so_is_named(routes: AgentRoutes):
    await routes.publish(A, [7, 8])
    await routes.publish(B, [7])
    assert sorted(await routes.urls(7)) == [A, B]
    assert list(await routes.urls(8)) == [A]
    assert list(await routes.urls(9)) == []


@pytest.mark.asyncio
async def test_a_kas_withdraws_its_own_entries_only(routes: AgentRoutes):
    await routes.publish(A, [7])
    await routes.publish(B, [7])
    await routes.withdraw(A, [7, 9])
    await routes.withdraw(A, [])
    assert list(await routes.urls(7)) == [B]


@pytest.mark.asyncio
async def test_what_is_not_said_again_leaves(routes: AgentRoutes, clock: Clock):
    await routes.publish(A, [7])
    clock.now += ROUTE_TTL_S - 1
    await routes.publish(B, [7])
    assert sorted(await routes.urls(7)) == [A, B]
    clock.now += 1
    assert list(await routes.urls(7)) == [B]


@pytest.mark.asyncio
async def test_who_can_only_write_to_redis_sends_nobody_anywhere(server: RedisServer):
    async with client_of(server.settings(key_prefix="forged")) as client:
        routes = RedisAgentRoutes(client, SECRET)
        await routes.publish(A, [8])
        [sealed] = await client.call("test", lambda redis: redis.zrange("forged:agent_routes:8", 0, -1))
        for entry in [b"grpc://evil:1", b"grpc://evil:1 " + b"0" * 64, b"\xff \xff", sealed]:
            await client.call("test", lambda redis, e=entry: redis.zadd("forged:agent_routes:7", {e: 9e9}))
        assert await routes.urls(7) == []
        assert await routes.urls(8) == [A]
        assert 0 < await client.call("test", lambda redis: redis.ttl("forged:agent_routes:8")) <= ROUTE_TTL_S


@pytest.mark.asyncio
async def test_without_redis_nobody_knows_and_nobody_waits():
    with running_server() as server:
        async with client_of(server.settings()) as client:
            routes = RedisAgentRoutes(client, SECRET)
            server.stop()
            with pytest.raises(RoutesUnavailableError):
                await routes.urls(7)
            with pytest.raises(RoutesUnavailableError):
                await routes.publish(A, [7])
            server.start()
            await routes.publish(A, [7])
            assert await routes.urls(7) == [A]
