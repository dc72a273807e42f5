"""Two kas over loopback, one agent on the first: what a request to the second comes to."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from kasbah.kas.private_api.redis_routes import RedisAgentRoutes
from kasbah.kas.private_api.routes import AgentRoutes, InMemoryAgentRoutes
from kasbah.wire.stream import ResetCode
from tests.doubles.near_agent import Asker, Echo, NearAgent
from tests.doubles.redis_server import RedisServer, client_of, running_server
from tests.doubles.replica import SECRET, ReplicaDouble, opening_for, replica

Pair = tuple[ReplicaDouble, ReplicaDouble]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_server() as running:
        yield running


@pytest_asyncio.fixture(params=["memory", "redis"])
async def routes(request: pytest.FixtureRequest) -> AsyncIterator[AgentRoutes]:
    if request.param == "memory":
        yield InMemoryAgentRoutes()
        return
    async with client_of(request.getfixturevalue("server").settings(key_prefix=request.node.name)) as client:
        yield RedisAgentRoutes(client, SECRET)


@pytest_asyncio.fixture
async def pair(routes: AgentRoutes) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(replica(routes)),
            await stack.enter_async_context(replica(routes)),
        )


async def outcome(asker: Asker) -> int | None:
    async with asyncio.timeout(10):
        return await asker.over


@pytest.mark.asyncio
async def test_a_request_reaches_an_agent_of_another_kas(pair: Pair):
    one, two = pair
    one.connect()
    asker = await two.ask(body=b"x" * 100)
    assert await outcome(asker) is None
    assert (asker.head, asker.received) == (opening_for(7), 100)


@pytest.mark.asyncio
async def test_an_agent_that_is_here_is_reached_directly(pair: Pair):
    one, two = pair
    one.connect()
    two.connect()
    assert await outcome(await two.ask()) is None
    assert not two.replicas._open


@pytest.mark.asyncio
async def test_a_large_body_passes_both_ways(pair: Pair):
    one, two = pair
    one.connect()
    asker = await two.ask(body=bytes(20_000_000))
    assert await outcome(asker) is None
    assert asker.received == 20_000_000


@pytest.mark.asyncio
async def test_a_slow_reader_stops_the_agent_and_nobody_else(pair: Pair):
    one, two = pair
    one.connect()
    slow = await two.ask(slow=True, end=False)
    assert slow.stream is not None
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await slow.say(bytes(50_000_000))
    assert slow.received < 4_000_000
    assert await outcome(await two.ask(body=b"quick")) is None
    slow.stream.reset(ResetCode.CANCELLED)


@pytest.mark.asyncio
async def test_a_watch_goes_on_and_its_cancellation_reaches_the_agent(pair: Pair):
    one, two = pair
    handlers: list[Echo] = []

    def accept(kind, opening, stream):
        stream.send_head(b"watching")
        handlers.append(Echo(stream))
        return handlers[-1]

    one.connect(NearAgent(accept))
    asker = await two.ask(end=False)
    async with asyncio.timeout(5):
        await asker.got_head.wait()
        for _ in range(3):
            handlers[0].stream.send(b"event")
            await asyncio.sleep(0.02)
        assert asker.received == 15
        assert asker.stream is not None
        asker.stream.reset(ResetCode.CANCELLED, "")
        while handlers[0].reset_with is None:  # noqa: ASYNC110 - real sockets, no event to wait for
            await asyncio.sleep(0.01)
    assert handlers[0].reset_with == ResetCode.CANCELLED


@pytest.mark.asyncio
async def test_both_ways_at_once_as_an_upgrade_has_it(pair: Pair):
    one, two = pair
    one.connect()
    asker = await two.ask(end=False)
    async with asyncio.timeout(5):
        for sent in range(1, 20):
            await asker.say(b"key")
            while asker.received < 3 * sent:  # noqa: ASYNC110 - real sockets, no event to wait for
                await asyncio.sleep(0.001)
    assert asker.stream is not None
    asker.stream.end()
    assert await outcome(asker) is None


@pytest.mark.asyncio
async def test_many_requests_at_once(pair: Pair):
    one, two = pair
    one.connect()
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(two.ask(body=b"x" * size)) for size in range(0, 200_000, 1000)]
    assert [await outcome(task.result()) for task in asked] == [None] * 200
    assert len(two.replicas._open) == 1


@pytest.mark.asyncio
async def test_an_agent_that_has_moved_is_found_where_it_is(pair: Pair, routes: AgentRoutes):
    one, two = pair
    async with replica(routes) as three:
        agent = one.connect()
        assert await outcome(await three.ask(body=b"x")) is None
        one.disconnect(agent)
        two.connect()
        assert await outcome(await three.ask(body=b"a body is not lost on the way")) is None
        assert await routes.urls(7) in ([one.url, two.url], [two.url, one.url])


@pytest.mark.asyncio
async def test_a_wait_ends_as_soon_as_the_agent_connects_anywhere(pair: Pair):
    one, two = pair
    for kas in (two, one):
        agent_id = 10 + pair.index(kas)
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(two.ask(agent_id))
            await asyncio.sleep(0.2)
            began = time.monotonic()
            kas.connect(agent_id=agent_id)
        assert await outcome(asked.result()) is None
        assert time.monotonic() - began < 0.5


@pytest.mark.asyncio
async def test_what_was_refused_everywhere_is_given_up_in_time(routes: AgentRoutes):
    async with replica(routes) as one, replica(routes, route_wait_s=0.3) as two:
        agent = one.connect()
        assert await outcome(await two.ask()) is None
        one.disconnect(agent)
        assert await outcome(await two.ask()) == ResetCode.REFUSED


@pytest.mark.asyncio
async def test_a_lost_agent_is_told_and_nothing_is_done_twice(pair: Pair):
    one, two = pair
    opened = []

    def silent(kind, opening, stream):
        opened.append(opening)
        return Echo(stream)

    agent = one.connect(NearAgent(silent))
    asker = await two.ask(end=False)
    while not opened:  # noqa: ASYNC110 - real sockets, no event to wait for
        await asyncio.sleep(0.01)
    one.disconnect(agent)
    assert await outcome(asker) == ResetCode.CONNECTION_LOST
    assert len(opened) == 1


@pytest.mark.asyncio
async def test_a_kas_that_stops_lets_go_of_its_agents_at_once(routes: AgentRoutes):
    async with replica(routes) as one:
        one.connect()
        while not await routes.urls(7):  # noqa: ASYNC110 - a store apart
            await asyncio.sleep(0.01)
    assert await routes.urls(7) == []


@pytest.mark.asyncio
async def test_two_secrets_are_two_deployments(pair: Pair, routes: AgentRoutes):
    async with replica(routes, secret=b"t" * 32) as stranger:
        pair[0].connect()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await stranger.ask()


@pytest.mark.asyncio
async def test_a_kas_that_is_dead_costs_a_moment_once(routes: AgentRoutes):
    with socket.create_server(("127.0.0.1", 0)) as nobody:  # the kernel answers, and nobody behind it
        port = nobody.getsockname()[1]
        async with replica(routes, dial_timeout_s=0.3) as one, replica(routes, dial_timeout_s=0.3) as two:
            await routes.publish(f"grpc://127.0.0.1:{port}", [7])
            one.connect()
            began = time.monotonic()
            for _ in range(20):
                assert await outcome(await two.ask()) is None
            assert time.monotonic() - began < 2
