"""agentk's own relay behind kas' proxy without a tunnel between them: what one orders, the other hears at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from kasbah.agentk.kubernetes_api.module import KubernetesApi
from kasbah.agentk.module import LatestValue
from kasbah.kube.access import ClusterAccess
from kasbah.kube.pool import UpstreamPool
from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration
from kasbah.wire.stream import Stream, StreamClass, StreamHandler, StreamKind


class _Granted:
    """What is needed of a grant."""

    agent_id: int


class _End:
    """One end of a stream: orders become callbacks of the other end, in a turn of their own as over a network."""

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id
        self.handler: StreamHandler | None = None
        self.other: _End = self
        self.over = False

    def _tell(self, callback: str, *words: object) -> None:
        asyncio.get_running_loop().call_soon(self.other.hear, callback, words)

    def hear(self, callback: str, words: tuple[object, ...]) -> None:
        if not self.over and self.handler is not None:
            self.over = callback == "reset"
            getattr(self.handler, callback)(*words)

    def send_head(self, head: bytes) -> None:
        self._tell("head_received", head)

    def send(self, data: bytes) -> bool:
        self._tell("data_received", data)
        return True

    def end(self) -> None:
        self._tell("ended")

    def reset(self, code: int, message: str = "") -> None:
        self.over = True
        self._tell("reset", code, message)

    def consumed(self, count: int) -> None: ...


@dataclass
class BridgedAgent:
    """The `Tunnels` of a proxy; every agent is this one."""

    api: KubernetesApi
    streams: int = 0

    def open_nowait(
        self, grant: _Granted, opening: bytes, stream_class: StreamClass, handler: StreamHandler
    ) -> Stream | None:
        del grant, stream_class
        self.streams += 1
        near, far = _End(self.streams), _End(self.streams)
        near.other, far.other, near.handler = far, near, handler
        far.handler = self.api.accept(StreamKind.KUBERNETES_API, opening, far)
        return near

    def wait(self, agent_id: int, waiter: object) -> None:
        raise AssertionError("nobody waits: the agent is there")

    def stop_waiting(self, agent_id: int, waiter: object) -> None: ...

    def is_busy(self, agent_id: int) -> bool:
        del agent_id
        return False

    def away_s(self, agent_id: int) -> float:
        del agent_id
        return 0.0


@contextlib.asynccontextmanager
async def bridged_agent(port: int, agent_id: int = 7) -> AsyncIterator[BridgedAgent]:
    """agentk before the API server on this port of loopback, without TLS."""
    access = ClusterAccess(host="127.0.0.1", port=port)
    api = KubernetesApi(access, UpstreamPool(access), lambda: agent_id)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(api.run(LatestValue[AgentConfiguration]()))
        await asyncio.sleep(0)
        try:
            yield BridgedAgent(api)
        finally:
            running.cancel()
