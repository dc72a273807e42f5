"""The tunnels that one pod holds open over gRPC, as one way to its API server.

A tunnel carries one request and is used up; agentk opens another. So what a native connection has without counting is
a stock here: idle ones to be used, used ones to be let go. Whenever one becomes idle the registry is told, which asks
who waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import Gauge

from kasbah.errors import PeerError
from kasbah.wire.http_call.caller import open_http_call
from kasbah.wire.methods import KUBERNETES_API_MAKE_REQUEST
from kasbah.wire.reverse_tunnel.kas_end import KasEnd
from kasbah.wire.rpc import NOBODY, Call, CallHandler, StatusCode
from kasbah.wire.stream import Stream, StreamClass, StreamHandler, StreamKind

_PATH: Final = KUBERNETES_API_MAKE_REQUEST.path
_tunnels = Gauge(
    "kasbah_kas_grpc_tunnels",
    "Tunnels that agents hold open over gRPC, idle or carrying a request.",
    ["state"],
)
_idle_tunnels, _active_tunnels = _tunnels.labels("idle"), _tunnels.labels("active")


class GrpcTunnels:
    """Those of one agent on one connection; an `AgentTunnel`, and the owner of its `KasEnd`s."""

    def __init__(self, *, limit: int, ready: Callable[[], None]) -> None:
        """`limit` is how many there may be; `ready` is called when one has become idle."""
        self._limit = limit
        self._ready = ready
        self._calls: dict[KasEnd, Call] = {}
        self._idle: dict[KasEnd, None] = {}
        self._active: set[KasEnd] = set()
        self._retired = False

    # -- the tunnels ---------------------------------------------------------------------------------------------

    def accept(self, call: Call) -> CallHandler:
        """The agent opens a tunnel."""
        if len(self._calls) >= self._limit:
            call.fail(StatusCode.RESOURCE_EXHAUSTED, f"over {self._limit} tunnels on one connection")
            return NOBODY
        end = KasEnd(call, self)
        self._calls[end] = call
        return end

    def tunnel_ready(self, end: KasEnd) -> None:
        if self._retired:
            end.release()
        elif end.serves(_PATH):
            self._idle[end] = None
            _idle_tunnels.inc()
            self._ready()

    def tunnel_over(self, end: KasEnd) -> None:
        self._calls.pop(end, None)
        self._no_longer_idle(end)
        if end in self._active:
            self._active.discard(end)
            _active_tunnels.dec()

    def retire(self) -> None:
        """Take nothing new: idle tunnels end with OK, so that the agent opens others elsewhere."""
        self._retired = True
        for end in list(self._calls):
            end.release()

    def fail(self, code: StatusCode, message: str) -> None:
        """Cut every tunnel; what runs in one ends with this status."""
        self._retired = True
        for end, call in list(self._calls.items()):
            call.fail(code, message)
            end.failed(code, message)

    @property
    def count(self) -> int:
        """Those that are open, whatever they do."""
        return len(self._calls)

    # -- the way to the agent ------------------------------------------------------------------------------------

    @property
    def can_open(self) -> bool:
        return bool(self._idle)

    @property
    def stream_count(self) -> int:
        return len(self._active)

    def open_stream(
        self,
        _kind: StreamKind,
        opening: bytes,
        handler: StreamHandler,
        *,
        stream_class: StreamClass,  # noqa: ARG002 - HTTP/2 shares evenly
    ) -> Stream:
        """Use a tunnel up: the one that has been idle longest.

        Raises:
            PeerError: none is idle, or the opening cannot be said in GitLab's messages.
        """
        end = next(iter(self._idle), None)
        if end is None:
            raise PeerError("no tunnel of the agent is idle", retryable=True)

        def begin(caller: CallHandler) -> Call:
            self._no_longer_idle(end)
            self._active.add(end)
            _active_tunnels.inc()
            return end.begin(_PATH, caller)

        return open_http_call(begin, opening, handler)

    def _no_longer_idle(self, end: KasEnd) -> None:
        if end in self._idle:
            del self._idle[end]
            _idle_tunnels.dec()
