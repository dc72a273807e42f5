"""Which pod serves a request, and who waits for one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from kasbah.kas.reverse_tunnel.registry import TunnelRegistry
from kasbah.wire.native_tunnel.frames import GoAwayCode
from kasbah.wire.native_tunnel.stream import StreamClass
from tests.doubles.tunnel_pair import RecordingHandler, TunnelPair


@dataclass(frozen=True)
class Grant:
    agent_id: int


def open_one(registry: TunnelRegistry, agent_id: int = 7):
    return registry.open_nowait(Grant(agent_id), b"opening", StreamClass.SMALL, RecordingHandler())


def test_an_agent_nobody_knows_has_no_stream():
    assert open_one(TunnelRegistry()) is None


def test_two_pods_share_the_work():
    registry, pods = TunnelRegistry(), [TunnelPair(), TunnelPair()]
    for pod in pods:
        registry.add(7, pod.kas.tunnel)
    for _ in range(6):
        assert open_one(registry) is not None
    assert [pod.kas.tunnel.stream_count for pod in pods] == [3, 3]


def test_a_pod_that_drains_gets_nothing_new():
    registry, leaving, staying = TunnelRegistry(), TunnelPair(), TunnelPair()
    registry.add(7, leaving.kas.tunnel)
    registry.add(7, staying.kas.tunnel)
    leaving.agent.tunnel.go_away(GoAwayCode.DRAINING)
    leaving.pump()
    open_one(registry)
    assert (leaving.kas.tunnel.stream_count, staying.kas.tunnel.stream_count) == (0, 1)


def test_a_grant_reaches_its_own_agent_only():
    registry, pod = TunnelRegistry(), TunnelPair()
    registry.add(7, pod.kas.tunnel)
    assert open_one(registry, 8) is None
    assert pod.kas.tunnel.stream_count == 0


def test_a_pod_that_left_is_forgotten():
    registry, pod = TunnelRegistry(), TunnelPair()
    registry.add(7, pod.kas.tunnel)
    registry.remove(7, pod.kas.tunnel)
    registry.remove(7, pod.kas.tunnel)
    assert registry.count(7) == 0
    assert open_one(registry) is None


@pytest.mark.asyncio
async def test_whoever_waits_goes_on_when_the_agent_connects():
    registry = TunnelRegistry()
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(registry.wait_for_agent(7, 5)) for _ in range(3)]
        await asyncio.sleep(0)
        registry.add(7, TunnelPair().kas.tunnel)
    assert [task.result() for task in waiting] == [True, True, True]


@pytest.mark.asyncio
async def test_waiting_ends_with_the_time():
    registry = TunnelRegistry()
    assert not await registry.wait_for_agent(7, 0)
    registry.add(7, TunnelPair().kas.tunnel)
    assert await registry.wait_for_agent(7, 0)


@pytest.mark.asyncio
async def test_a_tunnel_that_takes_nothing_more_is_nothing_to_wait_for():
    registry, leaving = TunnelRegistry(), TunnelPair()
    registry.add(7, leaving.kas.tunnel)
    leaving.kas.tunnel.connection_lost("a broken frame")
    assert open_one(registry) is None
    assert not await registry.wait_for_agent(7, 0)
