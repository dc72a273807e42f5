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
from kasbah.kit.backoff import CONTROL, Backoff, BackoffSettings
from kasbah.kit.jitter import chance
from kasbah.kube.client import ServerVersion
from kasbah.wire.methods import REGISTER, UNREGISTER
from kasbah.wire.pb.gitlab.agent.agent_registrar.rpc.rpc_pb2 import RegisterRequest, UnregisterRequest
from kasbah.wire.pb.gitlab.agent.entity.entity_pb2 import AgentMeta
from kasbah.wire.rpc import RpcError, StatusCode, UnaryMethod

_log = structlog.get_logger()

INTERVAL_S: Final = 300.0
WITHOUT_VERSION_S: Final = 30.0
"""To the next registration, while the cluster has not said its version."""
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
    ) -> None:
        self._calls = calls
        self._pod = pod
        self._kubernetes_version = kubernetes_version
        self._backoff = Backoff(backoff)
        self._registered = False
        self._soon = asyncio.Event()

    def register_soon(self) -> None:
        """There is a new connection to kas, which may be a kas that does not know us."""
        self._soon.set()

    async def run(self) -> None:
        """Stay on the list until cancelled, then leave it."""
        try:
            await self._soon.wait()  # whom should we tell before?
            while True:
                wait_s = await self._register()
                self._soon.clear()  # whoever answered knows us, also when the connection came up meanwhile
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._soon.wait()
        finally:
            if self._registered:
                await self._leave()

    async def _register(self) -> float:
        """One attempt; seconds until the next, unless there is a new connection before."""
        meta = await self._meta()
        try:
            await self._calls.unary(REGISTER, RegisterRequest(agent_meta=meta, pod_id=self._pod.pod_id))
        except RpcError as error:
            delay_s = self._backoff.failed(asyncio.get_running_loop().time(), chance())
            log = _log.debug if error.code is StatusCode.UNAVAILABLE else _log.warning  # the tunnel says that
            log(
                "not registered",
                status=error.code.name.lower(),
                error=str(error),
                retry_in_s=round(delay_s, 2),
            )
            return delay_s
        self._registered = True
        return INTERVAL_S if meta.HasField("kubernetes_version") else WITHOUT_VERSION_S

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
