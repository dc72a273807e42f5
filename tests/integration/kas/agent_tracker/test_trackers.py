"""Pods come, go, and are forgotten: the same on every store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from kasbah.kas.agent_tracker.memory import InMemoryAgentTracker
from kasbah.kas.agent_tracker.redis import RedisAgentTracker
from kasbah.kas.agent_tracker.tracker import (
    FORGET_AFTER_S,
    MAX_PODS_PER_AGENT,
    AgentTracker,
    ClusterVersion,
    ConnectedAgent,
    TrackerUnavailableError,
)
from tests.doubles.redis_server import RedisServer, client_of, running_server

VERSION = ClusterVersion(major="1", minor="36", git_version="v1.36.1", platform="linux/amd64")


@dataclass
class Clock:
    now: float = 1_700_000_000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_server(password="open sesame") as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture(params=["memory", "redis"])
async def tracker(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[AgentTracker]:
    if request.param == "memory":
        yield InMemoryAgentTracker(clock)
        return
    settings = request.getfixturevalue("server").settings(key_prefix=request.node.name)
    async with client_of(settings) as client:
        yield RedisAgentTracker(client, clock)


def pod(connection_id: int = 1, agent_id: int = 7, **fields: object) -> ConnectedAgent:
    given: dict[str, object] = {"project_id": 31, "agent_id": agent_id, "connection_id": connection_id}
    return ConnectedAgent(**(given | fields))  # type: ignore[arg-type]


def ids(agents: list[ConnectedAgent]) -> list[int]:
    return [agent.connection_id for agent in agents]


@pytest.mark.asyncio
async def test_a_pod_is_remembered_as_it_is(tracker: AgentTracker, clock: Clock):
    said = pod(
        2**63 - 1, version="v1 x", commit_id="c", pod_namespace="ü", pod_name="p", kubernetes_version=VERSION
    )
    await tracker.register(said)
    [agent] = await tracker.agent_connections(7)
    assert agent == pod(
        2**63 - 1,
        version="v1 x",
        commit_id="c",
        pod_namespace="ü",
        pod_name="p",
        kubernetes_version=VERSION,
        connected_at=clock.now,
    )


@pytest.mark.asyncio
async def test_a_pod_that_registers_again_was_connected_all_the_time(tracker: AgentTracker, clock: Clock):
    await tracker.register(pod(version="v1"))
    began, clock.now = clock.now, clock.now + 300
    await tracker.register(pod(version="v2"))
    [agent] = await tracker.agent_connections(7)
    assert (agent.version, agent.connected_at) == ("v2", began)


@pytest.mark.asyncio
async def test_a_silent_pod_is_forgotten(tracker: AgentTracker, clock: Clock):
    await tracker.register(pod())
    clock.now += FORGET_AFTER_S - 1
    assert await tracker.count() == 1
    clock.now += 1
    assert await tracker.agent_connections(7) == []
    assert await tracker.project_connections(31) == []
    assert await tracker.count() == 0
    assert await tracker.count_by_version() == {}


@pytest.mark.asyncio
async def test_a_pod_that_comes_back_after_it_was_forgotten_is_new(tracker: AgentTracker, clock: Clock):
    await tracker.register(pod())
    clock.now += FORGET_AFTER_S
    await tracker.register(pod())
    [agent] = await tracker.agent_connections(7)
    assert agent.connected_at == clock.now


@pytest.mark.asyncio
async def test_a_pod_that_leaves_is_gone_and_an_unknown_one_is_no_error(tracker: AgentTracker):
    await tracker.register(pod(1))
    await tracker.register(pod(2))
    await tracker.unregister(7, 1)
    await tracker.unregister(7, 1)
    await tracker.unregister(8, 1)
    assert ids(await tracker.agent_connections(7)) == [2]
    await tracker.unregister(7, 2)
    assert await tracker.count() == 0


@pytest.mark.asyncio
async def test_many_agents_and_projects_are_asked_for_at_once(tracker: AgentTracker, clock: Clock):
    await tracker.register(pod(5, agent_id=8))
    clock.now += 1
    await tracker.register(pod(3, agent_id=7))
    clock.now += 1
    await tracker.register(pod(4, agent_id=9, project_id=32))
    assert ids(await tracker.project_connections(31)) == [5, 3]
    assert ids(await tracker.project_connections(32, 31, 33)) == [5, 3, 4]
    assert ids(await tracker.agent_connections(9, 8, 8)) == [5, 4]
    assert await tracker.agent_connections() == await tracker.project_connections() == []


@pytest.mark.asyncio
async def test_agents_are_counted_and_pods_by_version(tracker: AgentTracker):
    for connection_id, agent_id, version in [(1, 7, "v1"), (2, 7, "v2"), (3, 8, "v2")]:
        await tracker.register(pod(connection_id, agent_id, version=version))
    assert await tracker.count() == 2
    assert await tracker.count_by_version() == {"v1": 1, "v2": 2}


@pytest.mark.asyncio
async def test_a_storm_of_pods_pushes_out_only_its_own(tracker: AgentTracker, clock: Clock):
    await tracker.register(pod(1, agent_id=8))
    for connection_id in range(1, MAX_PODS_PER_AGENT + 6):
        clock.now += 1
        await tracker.register(pod(connection_id))
    assert ids(await tracker.agent_connections(7)) == list(range(6, MAX_PODS_PER_AGENT + 6))
    assert ids(await tracker.agent_connections(8)) == [1]


@pytest.mark.asyncio
async def test_the_longest_silent_pod_goes_first(tracker: AgentTracker, clock: Clock):
    for connection_id in [*range(MAX_PODS_PER_AGENT), 0, MAX_PODS_PER_AGENT]:
        clock.now += 1
        await tracker.register(pod(connection_id))
    assert ids(await tracker.agent_connections(7)) == [0, *range(2, MAX_PODS_PER_AGENT + 1)]


@pytest.mark.asyncio
async def test_a_storm_at_once_keeps_the_bound(tracker: AgentTracker):
    async with asyncio.TaskGroup() as tasks:
        for connection_id in range(100):
            tasks.create_task(tracker.register(pod(connection_id)))
    assert len(await tracker.agent_connections(7)) == MAX_PODS_PER_AGENT


# Redis alone: what happens without it, and that nothing stays in it for ever.


@pytest.mark.asyncio
async def test_every_key_leaves_by_itself_and_begins_with_the_prefix(server: RedisServer):
    async with client_of(server.settings(key_prefix="leaves")) as client:
        await RedisAgentTracker(client).register(pod())
        keys = await client.call("test", lambda redis: redis.keys("leaves:*"))
        assert sorted(keys) == [
            b"leaves:agent_tracker:agent:7",
            b"leaves:agent_tracker:agents",
            b"leaves:agent_tracker:project:31",
        ]
        for key in keys:
            left = await client.call("test", lambda redis, key=key: redis.ttl(key))
            assert FORGET_AFTER_S - 5 < left <= FORGET_AFTER_S


@pytest.mark.asyncio
async def test_what_somebody_else_wrote_is_no_pod(server: RedisServer):
    async with client_of(server.settings(key_prefix="foreign")) as client:
        for text in [b"", b"x", b"9e99 1 {}", b"9e99 x []", b"\xff \xff \xff"]:
            work: Callable[..., object] = lambda redis, text=text: redis.hset(  # noqa: E731
                "foreign:agent_tracker:agent:7", text or b"-", text
            )
            await client.call("test", work)  # type: ignore[arg-type]
        assert await RedisAgentTracker(client).agent_connections(7) == []


@pytest.mark.asyncio
async def test_without_redis_registering_is_no_error_and_is_made_up_for():
    with running_server() as server:
        async with client_of(server.settings()) as client:
            tracker = RedisAgentTracker(client)
            server.stop()
            await tracker.register(pod(1))
            await tracker.register(pod(2))
            await tracker.unregister(7, 2)
            for ask in (tracker.count, tracker.count_by_version, tracker.agent_connections):
                with pytest.raises(TrackerUnavailableError):
                    await ask(*([7] if ask == tracker.agent_connections else []))
            server.start()
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(tracker.run())
                async with asyncio.timeout(10):
                    while ids(await tracker.agent_connections(7)) != [1]:  # noqa: ASYNC110 - a program apart
                        await asyncio.sleep(0.05)
                running.cancel()


@pytest.mark.asyncio
async def test_a_frozen_redis_costs_a_moment_and_no_more():
    with running_server() as server:
        async with client_of(
            server.settings(read_timeout_s=0.2, write_timeout_s=0.2, dial_timeout_s=0.2)
        ) as client:
            tracker = RedisAgentTracker(client)
            assert await tracker.count() == 0
            server.freeze()
            async with asyncio.timeout(1):
                await tracker.register(pod())
                with pytest.raises(TrackerUnavailableError):
                    await tracker.count()
            server.thaw()
            assert await tracker.count() in {0, 1}
