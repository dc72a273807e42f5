"""A kas elsewhere, over the internal API it serves: told of pushes, asked who is connected.

A push never waits for it. What is to be told waits here, one notice a project and so many projects at most, and each
telling has seconds; one that fails is logged and lost, as a hint may be. A token is signed for each call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import structlog
from google.protobuf.message import Message

from kasbah import __version__
from kasbah.hub.kas_client import GitPushEvent
from kasbah.kit import jwt
from kasbah.rpc.client import CallClient, Caller
from kasbah.wire.methods import GET_CONNECTED_AGENTS, GIT_PUSH_EVENT
from kasbah.wire.pb.gitlab.agent.agent_tracker.agent_tracker_pb2 import ConnectedAgentInfo
from kasbah.wire.pb.gitlab.agent.agent_tracker.rpc.rpc_pb2 import GetConnectedAgentsRequest
from kasbah.wire.pb.gitlab.agent.event import event_pb2
from kasbah.wire.pb.gitlab.agent.notifications.rpc.rpc_pb2 import GitPushEventRequest
from kasbah.wire.rpc import Metadata, RpcError, StatusCode, UnaryMethod

_log = structlog.get_logger()
USER_AGENT: Final = f"kasbah-hub/{__version__}"
CALL_TIMEOUT_S: Final = 2.0
"""GitLab's Rails gives its kas as long."""
MOST_WAITING: Final = 1000
"""Projects whose notice waits; of more, the longest waiting one is lost."""
_TOKEN_LIFETIME_S: Final = 30

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedAgent:
    """A pod of an agent that is connected to that kas, as it says itself."""

    agent_id: int
    project_id: int
    connection_id: int
    version: str
    pod_namespace: str
    pod_name: str
    connected_at: float
    """Seconds since 1970."""


class KasTokens:
    """Signs what each call to kas carries.

    Args:
        secret: what both share, decoded.
        now: seconds since 1970.
    """

    def __init__(self, secret: bytes, now: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._now = now

    def metadata(self) -> Metadata:
        """A token of this moment."""
        now = int(self._now())
        times = {"iat": now, "nbf": now - int(jwt.CLOCK_SKEW_S), "exp": now + _TOKEN_LIFETIME_S}
        token = jwt.sign({"iss": "kasbah-hub", "aud": "gitlab-kas", **times}, self._secret)
        return (("authorization", f"bearer {token}"),)


class Dial(Protocol):
    """The way to kas; `GrpcDial` is one."""

    async def run(self) -> None: ...

    async def caller(self) -> Caller: ...


class RemoteKas:
    """Implements `KasClient`; `run` it while pushes come."""

    def __init__(self, dial: Dial) -> None:
        """`dial` is the way to its internal API."""
        self._dial = dial
        self._calls = CallClient(dial.caller)
        self._waiting: dict[int, GitPushEvent] = {}
        self._any = asyncio.Event()

    async def run(self) -> None:
        """Tell what is to be told until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._dial.run(), name="dial kas")
            while True:
                await self._any.wait()
                event = self._waiting.pop(next(iter(self._waiting)))
                if not self._waiting:
                    self._any.clear()
                await self._tell(event)

    async def git_push(self, event: GitPushEvent) -> None:
        """Have kas told, soon; a later push to the same project is the same notice."""
        self._waiting.setdefault(event.project_id, event)
        if len(self._waiting) > MOST_WAITING:
            lost = self._waiting.pop(next(iter(self._waiting)))
            _log.warning("kas not told of a push", project_id=lost.project_id, error="too many are waiting")
        self._any.set()

    async def connected_agents(
        self, *, agent_id: int | None = None, project_id: int | None = None
    ) -> list[ConnectedAgent]:
        """The pods of one agent, or of all agents of a project.

        Raises:
            RpcError: kas cannot be reached, or answered so.
        """
        request = GetConnectedAgentsRequest()
        if project_id is not None:
            request.project_id = project_id
        if agent_id is not None:
            request.agent_id = agent_id
        return _agents((await self._call(GET_CONNECTED_AGENTS, request)).agents)

    async def _tell(self, event: GitPushEvent) -> None:
        project = event_pb2.Project(id=event.project_id, full_path=event.full_path)
        request = GitPushEventRequest(event=event_pb2.GitPushEvent(project=project))
        try:
            await self._call(GIT_PUSH_EVENT, request)
        except RpcError as error:
            _log.warning("kas not told of a push", project_id=event.project_id, error=str(error))

    async def _call(self, method: UnaryMethod[Req, Resp], request: Req) -> Resp:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await self._calls.unary(method, request)
        except TimeoutError as error:
            raise RpcError(
                StatusCode.DEADLINE_EXCEEDED, f"kas did not answer within {CALL_TIMEOUT_S:g} s"
            ) from error


def _agents(agents: Sequence[ConnectedAgentInfo]) -> list[ConnectedAgent]:
    return [
        ConnectedAgent(
            agent_id=agent.agent_id,
            project_id=agent.project_id,
            connection_id=agent.connection_id,
            version=agent.agent_meta.version,
            pod_namespace=agent.agent_meta.pod_namespace,
            pod_name=agent.agent_meta.pod_name,
            connected_at=agent.connected_at.ToNanoseconds() / 1e9,
        )
        for agent in agents
    ]
