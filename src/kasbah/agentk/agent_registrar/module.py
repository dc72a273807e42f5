"""Registers this pod with kas when it starts, every few minutes, and takes it off the list when it stops.

Being listed is for people; nothing depends on it. So failures are logged and tried again, and leaving is bounded in
time. The tunnel must outlive this module, or kas is never told that the pod left.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import structlog
from google.protobuf.message import Message

from kasbah.errors import PeerError
from kasbah.kit.backoff import CONTROL, BackoffSettings
from kasbah.kit.tasks import keep_trying
from kasbah.kube.client import ServerVersion
from kasbah.wire.methods import REGISTER, UNREGISTER
from kasbah.wire.pb.gitlab.agent.agent_registrar.rpc.rpc_pb2 import RegisterRequest, UnregisterRequest
from kasbah.wire.pb.gitlab.agent.entity.entity_pb2 import AgentMeta
from kasbah.wire.rpc import RpcError, StatusCode, UnaryMethod

_log = structlog.get_logger()

INTERVAL_S: Final = 300.0
PAUSE_S: Final = 1.0
"""Without a tunnel: the tunnel has a back-off of its own."""
LEAVE_TIMEOUT_S: Final = 2.0

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)


class UnaryCalls(Protocol):
    """What this module needs of the connection to kas."""

    async def unary(self, method: UnaryMethod[Req, Resp], request: Req) -> Resp:
        """One request, one answer; raises `RpcError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """This process, as kas lists it."""

    pod_id: int
    """A random positive number, chosen at start; the same that the tunnel's greeting says."""
    version: str
    commit_id: str = ""
    namespace: str = ""
    name: str = ""


class AgentRegistrar:
    """Keeps one pod on kas' list.

    Args:
        calls: the connection to kas.
        pod: this process.
        kubernetes_version: asks the cluster; a `PeerError` of it costs the version and nothing else.
    """

    def __init__(
        self,
        calls: UnaryCalls,
        pod: Pod,
        kubernetes_version: Callable[[], Awaitable[ServerVersion]],
        *,
        backoff: BackoffSettings = CONTROL,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._calls = calls
        self._pod = pod
        self._kubernetes_version = kubernetes_version
        self._backoff = backoff
        self._pause_s = pause_s
        self._registered = False
        self._soon = asyncio.Event()

    def register_soon(self) -> None:
        """There is a new connection to kas, which may be a kas that does not know us."""
        self._soon.set()

    async def run(self) -> None:
        """Stay on the list until cancelled, then leave it."""
        try:
            await keep_trying("agent_registrar", self._register_and_wait, self._backoff)
        finally:
            if self._registered:
                await self._leave()

    async def _register_and_wait(self) -> None:
        meta = await self._meta()
        try:
            await self._calls.unary(REGISTER, RegisterRequest(agent_meta=meta, pod_id=self._pod.pod_id))
        except RpcError as error:
            if error.code is not StatusCode.UNAVAILABLE:
                raise
            _log.debug("not registered without a tunnel", error=str(error))
            await asyncio.sleep(self._pause_s)
            return
        self._soon.clear()  # whoever answered knows us, also when the connection came up while we waited for it
        self._registered = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(INTERVAL_S):
                await self._soon.wait()

    async def _leave(self) -> None:
        """Say goodbye if that works at once; an older kas does not know the call."""
        request = UnregisterRequest(agent_meta=self._own_meta(), pod_id=self._pod.pod_id)
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await self._calls.unary(UNREGISTER, request)
        except (RpcError, TimeoutError) as error:
            _log.debug("kas was not told that this pod leaves", error=str(error))

    async def _meta(self) -> AgentMeta:
        meta = self._own_meta()
        try:
            version = await self._kubernetes_version()
        except (PeerError, OSError) as error:
            _log.debug("the cluster's version is not known", error=str(error))
            return meta
        meta.kubernetes_version.major = version.major
        meta.kubernetes_version.minor = version.minor
        meta.kubernetes_version.git_version = version.git_version
        meta.kubernetes_version.platform = version.platform
        return meta

    def _own_meta(self) -> AgentMeta:
        return AgentMeta(
            version=self._pod.version,
            commit_id=self._pod.commit_id,
            pod_namespace=self._pod.namespace,
            pod_name=self._pod.name,
        )
