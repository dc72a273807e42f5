"""Answers AgentTracker of the internal API: who is connected."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from kasbah.kas.agent_tracker.tracker import AgentTracker, ConnectedAgent, TrackerUnavailableError
from kasbah.rpc.server import Service
from kasbah.wire.methods import GET_CONNECTED_AGENTS
from kasbah.wire.pb.gitlab.agent.agent_tracker.agent_tracker_pb2 import ConnectedAgentInfo
from kasbah.wire.pb.gitlab.agent.agent_tracker.rpc.rpc_pb2 import (
    GetConnectedAgentsRequest,
    GetConnectedAgentsResponse,
)
from kasbah.wire.pb.gitlab.agent.entity.entity_pb2 import AgentMeta, KubernetesVersion
from kasbah.wire.rpc import RpcError, StatusCode


class AgentTrackerApi:
    """The handler, over one tracker."""

    def __init__(self, tracker: AgentTracker) -> None:
        self._tracker = tracker

    async def get_connected_agents(
        self, _call: object, request: GetConnectedAgentsRequest
    ) -> GetConnectedAgentsResponse:
        """The pods of one agent, or of all agents of a project."""
        try:
            match request.WhichOneof("request"):
                case "agent_id":
                    agents = await self._tracker.agent_connections(request.agent_id)
                case "project_id":
                    agents = await self._tracker.project_connections(request.project_id)
                case _:
                    raise RpcError(StatusCode.INVALID_ARGUMENT, "project_id or agent_id is required")
        except TrackerUnavailableError as error:
            raise RpcError(StatusCode.UNAVAILABLE, "failed to find connected agents") from error
        return GetConnectedAgentsResponse(agents=map(_info, agents))


def services(tracker: AgentTracker) -> list[Service[object]]:
    """The calls this feature answers."""
    return [(GET_CONNECTED_AGENTS, AgentTrackerApi(tracker).get_connected_agents)]


def _info(agent: ConnectedAgent) -> ConnectedAgentInfo:
    connected_at, cluster = Timestamp(), agent.kubernetes_version
    connected_at.FromNanoseconds(int(agent.connected_at * 1e9))
    return ConnectedAgentInfo(
        agent_id=agent.agent_id,
        project_id=agent.project_id,
        connection_id=agent.connection_id,
        connected_at=connected_at,
        agent_meta=AgentMeta(
            version=agent.version,
            commit_id=agent.commit_id,
            pod_namespace=agent.pod_namespace,
            pod_name=agent.pod_name,
            kubernetes_version=KubernetesVersion(
                major=cluster.major,
                minor=cluster.minor,
                git_version=cluster.git_version,
                platform=cluster.platform,
            ),
        ),
    )
