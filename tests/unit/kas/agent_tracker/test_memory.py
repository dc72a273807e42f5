"""Pods come, go, and are forgotten."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from kasbah.kas.agent_tracker.memory import FORGET_AFTER_S, MAX_PODS_PER_AGENT, InMemoryAgentTracker
from kasbah.kas.agent_tracker.tracker import AgentTracker, ConnectedAgent


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def pod(connection_id: int = 1, agent_id: int = 7, **fields: str) -> ConnectedAgent:
    return ConnectedAgent(agent_id=agent_id, project_id=31, connection_id=connection_id, **fields)  # type: ignore[arg-type]


def ids(agents: list[ConnectedAgent]) -> list[int]:
    return [agent.connection_id for agent in agents]


@pytest.mark.asyncio
async def test_a_pod_that_registers_again_was_connected_all_the_time():
    clock = Clock()
    tracker: AgentTracker = InMemoryAgentTracker(clock)
    await tracker.register(pod(version="v1"))
    clock.now += 300
    await tracker.register(pod(version="v2"))
    [agent] = await tracker.agent_connections(7)
    assert (agent.version, agent.connected_at) == ("v2", 1000.0)


@pytest.mark.asyncio
async def test_a_silent_pod_is_forgotten():
    clock = Clock()
    tracker = InMemoryAgentTracker(clock)
    await tracker.register(pod())
    clock.now += FORGET_AFTER_S - 1
    assert await tracker.count() == 1
    clock.now += 1
    assert await tracker.agent_connections(7) == []
    assert await tracker.count() == 0


@pytest.mark.asyncio
async def test_a_pod_that_leaves_is_gone_and_an_unknown_one_is_no_error():
    tracker = InMemoryAgentTracker(Clock())
    await tracker.register(pod(1))
    await tracker.register(pod(2))
    await tracker.unregister(7, 1)
    await tracker.unregister(7, 1)
    await tracker.unregister(8, 1)
    assert ids(await tracker.agent_connections(7)) == [2]


@pytest.mark.asyncio
async def test_a_projects_pods_are_listed_the_oldest_first():
    clock = Clock()
    tracker = InMemoryAgentTracker(clock)
    await tracker.register(pod(5, agent_id=8))
    clock.now += 1
    await tracker.register(pod(3, agent_id=7))
    assert ids(await tracker.project_connections(31)) == [5, 3]
    assert await tracker.project_connections(32) == []


@pytest.mark.asyncio
async def test_a_storm_of_pods_pushes_out_only_its_own():
    clock = Clock()
    tracker = InMemoryAgentTracker(clock)
    await tracker.register(pod(1, agent_id=8))
    for connection_id in range(1, MAX_PODS_PER_AGENT + 6):
        clock.now += 1
        await tracker.register(pod(connection_id))
    assert ids(await tracker.agent_connections(7)) == list(range(6, MAX_PODS_PER_AGENT + 6))
    assert ids(await tracker.agent_connections(8)) == [1]
