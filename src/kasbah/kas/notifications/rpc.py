"""Answers Notifications of the internal API: the Git side tells of a push."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from kasbah.kas.notifications.pushes import PushEvent
from kasbah.rpc.server import Service
from kasbah.wire.methods import GIT_PUSH_EVENT
from kasbah.wire.pb.gitlab.agent.notifications.rpc.rpc_pb2 import GitPushEventRequest, GitPushEventResponse
from kasbah.wire.rpc import RpcError, StatusCode

_log = structlog.get_logger()
_LONGEST_PATH: Final = 4096


class PushTaker(Protocol):
    """Tells whoever watches; `GitPushes` is one."""

    async def git_push(self, event: PushEvent) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A push as it was told; a `PushEvent`."""

    project_id: int
    full_path: str


class NotificationsApi:
    """The handler, over whoever is to be told."""

    def __init__(self, pushes: PushTaker) -> None:
        self._pushes = pushes

    async def git_push_event(self, _call: object, request: GitPushEventRequest) -> GitPushEventResponse:
        """Pass the notice on."""
        project = request.event.project
        if project.id <= 0:
            raise RpcError(StatusCode.INVALID_ARGUMENT, "event.project.id must be greater than zero")
        if not 0 < len(project.full_path) <= _LONGEST_PATH:
            raise RpcError(StatusCode.INVALID_ARGUMENT, "event.project.full_path is required")
        await self._pushes.git_push(Push(project_id=project.id, full_path=project.full_path))
        _log.debug("push told", project_id=project.id)
        return GitPushEventResponse()


def services(pushes: PushTaker) -> list[Service[object]]:
    """The calls this feature answers."""
    return [(GIT_PUSH_EVENT, NotificationsApi(pushes).git_push_event)]
