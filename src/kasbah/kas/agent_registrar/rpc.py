"""Answers AgentRegistrar: who is connected goes to the tracker."""

from __future__ import annotations

import structlog

from kasbah.kas.agent_tracker import meta
from kasbah.kas.agent_tracker.tracker import AgentTracker, TrackerUnavailableError
from kasbah.kas.reverse_tunnel.call import AgentCall
from kasbah.rpc.server import Service
from kasbah.wire.methods import REGISTER, UNREGISTER
from kasbah.wire.pb.gitlab.agent.agent_registrar.rpc.rpc_pb2 import (
    RegisterRequest,
    RegisterResponse,
    UnregisterRequest,
    UnregisterResponse,
)
from kasbah.wire.rpc import RpcError, StatusCode

_log = structlog.get_logger()


class AgentRegistrar:
    """The handlers, over one tracker."""

    def __init__(self, tracker: AgentTracker) -> None:
        self._tracker = tracker

    async def register(self, call: AgentCall, request: RegisterRequest) -> RegisterResponse:
        """The pod is there, and what it says about itself."""
        agent = meta.connected_agent(call.agent, _pod_id(request), request.agent_meta)
        try:
            await self._tracker.register(agent)
        except TrackerUnavailableError as error:
            raise RpcError(StatusCode.UNAVAILABLE, "failed to register agent pod") from error
        _log.debug("agent pod registered", agent_id=agent.agent_id, pod_name=agent.pod_name)
        return RegisterResponse()

    async def unregister(self, call: AgentCall, request: UnregisterRequest) -> UnregisterResponse:
        """The pod leaves."""
        try:
            await self._tracker.unregister(call.agent.agent_id, _pod_id(request))
        except TrackerUnavailableError as error:
            raise RpcError(StatusCode.UNAVAILABLE, "failed to unregister agent pod") from error
        return UnregisterResponse()


def services(tracker: AgentTracker) -> list[Service[AgentCall]]:
    """The calls this feature answers."""
    registrar = AgentRegistrar(tracker)
    return [(REGISTER, registrar.register), (UNREGISTER, registrar.unregister)]


def _pod_id(request: RegisterRequest | UnregisterRequest) -> int:
    if request.pod_id <= 0:
        raise RpcError(StatusCode.INVALID_ARGUMENT, "pod_id must be greater than zero")
    return request.pod_id
