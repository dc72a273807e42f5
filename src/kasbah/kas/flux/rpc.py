"""Answers ReconcileProjects: one response a push, as long as the agent listens.

Pushes to one project that come quicker than they can be told are told once, so what waits is never more than the set of
projects. Whether the agent may hear of a project is asked when there is something to hear; what it may not hear of is
passed over in silence, as if it were not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import structlog

from kasbah.kas.flux.settings import Settings
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.errors import (
    HubError,
    HubForbiddenError,
    HubNotFoundError,
    HubUnauthenticatedError,
)
from kasbah.kas.hub_client.statuses import status_of
from kasbah.kas.notifications.pushes import GitPushes
from kasbah.kas.reverse_tunnel.call import AgentCall
from kasbah.kas.usage_metrics.counters import FLUX_NOTIFICATIONS, FLUX_NOTIFIED_PROJECTS, UsageCounters
from kasbah.kit.backoff import Backoff
from kasbah.kit.jitter import chance
from kasbah.kit.slots import NoSlotError, Slots
from kasbah.rpc.server import Service
from kasbah.wire.methods import RECONCILE_PROJECTS
from kasbah.wire.pb.gitlab.agent.flux.rpc.rpc_pb2 import (
    Project,
    ReconcileProjectsRequest,
    ReconcileProjectsResponse,
)
from kasbah.wire.rpc import RpcError, StatusCode

_log = structlog.get_logger()
_MAX_PATH_CHARACTERS: Final = 1024


class GitLabFlux:
    """The handler and what all its calls share."""

    def __init__(self, hub: HubClient, pushes: GitPushes, usage: UsageCounters, settings: Settings) -> None:
        self._hub = hub
        self._pushes = pushes
        self._usage = usage
        self._settings = settings
        self._slots = Slots[int](settings.max_calls_per_agent)

    async def reconcile_projects(
        self, call: AgentCall, request: ReconcileProjectsRequest
    ) -> AsyncIterator[ReconcileProjectsResponse]:
        """A response for each push to one of the projects, from now on.

        Raises:
            RpcError: the request cannot be served, or the agent is not known any more.
        """
        paths = self._paths(request)
        try:
            with self._slots.take(call.agent.agent_id), self._pushes.watch_paths(paths) as pushes:
                while True:
                    push = await pushes.next()
                    if await self._may_hear(call, push.full_path):
                        self._usage.count(FLUX_NOTIFICATIONS)
                        self._usage.see(FLUX_NOTIFIED_PROJECTS, push.project_id)
                        yield ReconcileProjectsResponse(project=Project(id=push.full_path))
        except NoSlotError as error:
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, f"too many calls of this agent: {error}") from error

    def _paths(self, request: ReconcileProjectsRequest) -> frozenset[str]:
        if len(request.project) > self._settings.max_projects:
            raise RpcError(
                StatusCode.INVALID_ARGUMENT, f"project: at most {self._settings.max_projects} are watched"
            )
        paths = frozenset(project.id for project in request.project)
        if any(not 1 <= len(path) <= _MAX_PATH_CHARACTERS for path in paths):
            raise RpcError(
                StatusCode.INVALID_ARGUMENT,
                f"project.id must be a full path of 1 to {_MAX_PATH_CHARACTERS} characters",
            )
        return paths

    async def _may_hear(self, call: AgentCall, full_path: str) -> bool:
        """Asked until there is an answer: a push told late is better than one not told."""
        backoff = Backoff(self._settings.backoff)
        while True:
            try:
                await self._hub.verify_project_access(call.agent_token, full_path)
            except HubUnauthenticatedError as error:
                raise status_of(error, "agent") from error
            except (HubForbiddenError, HubNotFoundError):
                return False
            except HubError as error:
                _log.warning("git side does not answer", agent_id=call.agent.agent_id, error=str(error))
                now = asyncio.get_running_loop().time()
                await asyncio.sleep(backoff.failed(now, chance()))
            else:
                return True


def services(
    hub: HubClient, pushes: GitPushes, usage: UsageCounters, settings: Settings
) -> list[Service[AgentCall]]:
    """The calls this feature answers."""
    return [(RECONCILE_PROJECTS, GitLabFlux(hub, pushes, usage, settings).reconcile_projects)]
