"""Who is connected, as the Git side is told."""

from __future__ import annotations

import pytest

from kasbah.kas.agent_tracker import rpc
from kasbah.kas.agent_tracker.memory import InMemoryAgentTracker
from kasbah.kas.agent_tracker.tracker import ClusterVersion, ConnectedAgent, TrackerUnavailableError
from kasbah.wire.pb.gitlab.agent.agent_tracker.rpc.rpc_pb2 import GetConnectedAgentsRequest
from kasbah.wire.rpc import RpcError, StatusCode

CLUSTER = ClusterVersion(major="1", minor="33", git_version="v1.33.1", platform="linux/arm64")

pytestmark = pytest.mark.asyncio


async def tracker() -> InMemoryAgentTracker:
    """Two agents of one project, one of another; one has two pods."""
    times = iter([1.5, 2, 3, 4])
    made = InMemoryAgentTracker(clock=lambda: next(times, 5))
    for agent_id, project_id, connection_id in ((7, 31, 1), (7, 31, 2), (8, 31, 3), (9, 32, 4)):
        await made.register(
            ConnectedAgent(
                agent_id=agent_id,
                project_id=project_id,
                connection_id=connection_id,
                version="v18.0.0",
                commit_id="abc",
                pod_namespace="agents",
                pod_name=f"agentk-{connection_id}",
                kubernetes_version=CLUSTER,
            )
        )
    return made


async def ask(request: GetConnectedAgentsRequest) -> list[tuple[int, int]]:
    ((_, answer),) = rpc.services(await tracker())
    return [(agent.agent_id, agent.connection_id) for agent in (await answer(None, request)).agents]


async def test_the_pods_of_an_agent_or_of_a_project():
    assert await ask(GetConnectedAgentsRequest(agent_id=7)) == [(7, 1), (7, 2)]
    assert await ask(GetConnectedAgentsRequest(project_id=31)) == [(7, 1), (7, 2), (8, 3)]
    assert await ask(GetConnectedAgentsRequest(agent_id=99)) == []
    assert await ask(GetConnectedAgentsRequest(project_id=0)) == []


async def test_a_pod_is_told_whole():
    api = rpc.AgentTrackerApi(await tracker())
    first, *_ = (await api.get_connected_agents(None, GetConnectedAgentsRequest(agent_id=7))).agents
    assert (first.project_id, first.connected_at.ToNanoseconds()) == (31, 1_500_000_000)
    meta = first.agent_meta
    assert (meta.version, meta.commit_id, meta.pod_namespace) == ("v18.0.0", "abc", "agents")
    assert (meta.pod_name, meta.kubernetes_version.git_version) == ("agentk-1", "v1.33.1")
    cluster = meta.kubernetes_version
    assert (cluster.major, cluster.minor, cluster.platform) == ("1", "33", "linux/arm64")


async def test_one_of_the_two_must_be_asked_for():
    with pytest.raises(RpcError) as caught:
        await ask(GetConnectedAgentsRequest())
    assert caught.value.code is StatusCode.INVALID_ARGUMENT


async def test_a_store_that_is_away_is_unavailable():
    class Away(InMemoryAgentTracker):
        async def agent_connections(self, *agent_ids: int) -> list[ConnectedAgent]:
            raise TrackerUnavailableError("away")

    with pytest.raises(RpcError) as caught:
        await rpc.AgentTrackerApi(Away()).get_connected_agents(None, GetConnectedAgentsRequest(agent_id=7))
    assert caught.value.code is StatusCode.UNAVAILABLE
