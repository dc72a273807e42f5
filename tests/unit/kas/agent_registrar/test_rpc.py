"""Register and Unregister, over the tracker of one process."""

from __future__ import annotations

import pytest

from kasbah.kas.agent_registrar import rpc
from kasbah.kas.agent_tracker.memory import InMemoryAgentTracker
from kasbah.kas.agent_tracker.tracker import ConnectedAgent, TrackerUnavailableError
from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.reverse_tunnel.call import AgentCall
from kasbah.kit.secrets import Secret
from kasbah.wire.methods import REGISTER, UNREGISTER
from kasbah.wire.pb.gitlab.agent.agent_registrar.rpc.rpc_pb2 import RegisterRequest, UnregisterRequest
from kasbah.wire.pb.gitlab.agent.entity.entity_pb2 import AgentMeta
from kasbah.wire.rpc import RpcError, StatusCode

AGENT = AgentInfo(agent_id=7, project_id=31, agent_name="a", project_path="a/b", default_branch="main")
CALL = AgentCall(agent=AGENT, agent_token=Secret("glagent-x"), connection_id=5)


@pytest.mark.asyncio
async def test_a_pod_registers_and_leaves():
    tracker = InMemoryAgentTracker()
    registrar = rpc.AgentRegistrar(tracker)
    await registrar.register(
        CALL, RegisterRequest(pod_id=5, agent_meta=AgentMeta(version="v1", pod_name="p"))
    )
    [agent] = await tracker.agent_connections(7)
    assert (agent.connection_id, agent.version, agent.pod_name, agent.project_id) == (5, "v1", "p", 31)
    await registrar.unregister(CALL, UnregisterRequest(pod_id=5))
    assert await tracker.agent_connections(7) == []


@pytest.mark.parametrize("pod_id", [0, -1])
@pytest.mark.asyncio
async def test_a_pod_without_an_id_is_refused(pod_id: int):
    registrar = rpc.AgentRegistrar(InMemoryAgentTracker())
    with pytest.raises(RpcError) as caught:
        await registrar.register(CALL, RegisterRequest(pod_id=pod_id))
    assert caught.value.code == StatusCode.INVALID_ARGUMENT


@pytest.mark.asyncio
async def test_a_tracker_that_is_away_is_worth_another_try():
    class Away(InMemoryAgentTracker):
        async def register(self, agent: ConnectedAgent) -> None:
            raise TrackerUnavailableError

    with pytest.raises(RpcError) as caught:
        await rpc.AgentRegistrar(Away()).register(CALL, RegisterRequest(pod_id=5))
    assert caught.value.retryable


def test_both_calls_are_answered():
    assert [method for method, _ in rpc.services(InMemoryAgentTracker())] == [REGISTER, UNREGISTER]
