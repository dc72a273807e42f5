"""A connection to kas that carries gRPC: the calls of agentk's modules, and GitLab's reverse tunnels in the other direction.

Loaded only when kas chose gRPC, so that nobody else pays for HTTP/2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kasbah.agentk.reverse_tunnel.connection import ConnectionState, KasConnection, StreamAcceptor
from kasbah.agentk.reverse_tunnel.pool import TunnelPool
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.kit.jitter import chance
from kasbah.kit.secrets import Secret
from kasbah.wire.grpc.connection import GrpcConnection
from kasbah.wire.grpc.engine import GrpcRole
from kasbah.wire.http_call.callee import HttpCallee
from kasbah.wire.methods import KUBERNETES_API_MAKE_REQUEST
from kasbah.wire.rpc import NOBODY, Call, CallHandler, Metadata, RpcError, StatusCode

_DRAINING: Final = "agentk stops"
_KAS_ENDS_IDLE_S: Final = 2.0
"""So long after our GOAWAY whoever is in between has not passed it on, or kas is GitLab's, which does not look at it."""
_FOR_MODULES: Final = 8
"""Calls of one connection that are never used for tunnels."""
_NO_AGENT_ID: Final = 0
"""GitLab's messages do not say for which agent a request is: the connection does, because it is ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcPeer:
    """Kas as it is addressed over gRPC, and what every call to it carries."""

    websocket: bool
    authority: str
    scheme: str
    user_agent: str
    token: Secret
    headers: Metadata

    def metadata(self) -> Metadata:
        """What each call carries, the token among it."""
        return (("authorization", f"Bearer {self.token.reveal()}"), *self.headers)


def peer(settings: ReverseTunnelSettings, token: Secret, user_agent: str) -> GrpcPeer:
    """What the settings make of it: with a WebSocket its handshake has carried the headers already."""
    address = settings.address
    headers = settings.headers if address.grpc else ()
    return GrpcPeer(
        websocket=not address.grpc,
        authority=address.authority,
        scheme="https" if address.tls else "http",
        user_agent=user_agent,
        token=token,
        headers=tuple((name.lower(), value) for name, value in headers),
    )


class GrpcKasConnection(GrpcConnection, KasConnection):
    """Opens tunnels as soon as kas has answered."""

    kind = "grpc"

    def __init__(
        self,
        transport: asyncio.Transport,
        kas: GrpcPeer,
        acceptor: StreamAcceptor,
        tunnels_elsewhere: Callable[[], int],
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            GrpcRole.CLIENT,
            transport,
            loop.call_soon,
            websocket=kas.websocket,
            authority=kas.authority,
            scheme=kas.scheme,
            user_agent=kas.user_agent,
        )
        self._time = loop.time
        self._kas = kas
        self._acceptor = acceptor
        self._answered = False
        self._abandon_at = float("inf")
        self.state = ConnectionState()
        self.pool = TunnelPool(self._open_tunnel, self._serve, elsewhere=tunnels_elsewhere, random=chance)

    @property
    def tunnels(self) -> int:
        return self.pool.count

    @property
    def is_ready(self) -> bool:
        """After the first answer to a call, or when kas has let a tunnel stand for a while."""
        if self.state.leaving.is_set() or not self.pool.count:
            return False
        return self._answered or self.pool.is_accepted

    def open_call(self, path: str, handler: CallHandler, metadata: Metadata = ()) -> Call:
        return self._open(path, _Witness(handler, self._heard), metadata)

    def drain(self) -> None:
        self.state.leaving.set()
        self.pool.stop()
        self.engine.go_away(_DRAINING)
        self._abandon_at = self._time() + _KAS_ENDS_IDLE_S

    def tick(self, now: float) -> None:
        super().tick(now)
        self.pool.tick(now)
        if now >= self._abandon_at:
            self.pool.abandon_idle(_DRAINING)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.state.is_admitted and not self._closing:  # what came is HTTP/2, else it was refused
            self.state.admit()
            self.pool.start(self._time())

    def connection_lost(self, error: Exception | None) -> None:
        self.state.lost(self.failure or (str(error) if error else "kas closed the connection"))
        self.pool.stop()
        super().connection_lost(error)

    def going_away(self) -> None:
        self.pool.stop()
        self.state.leaving.set()

    def _say_goodbye(self, reason: str, close_code: int) -> None:
        self.pool.stop()
        self.state.leaving.set()
        super()._say_goodbye(reason, close_code)

    def _open_tunnel(self, path: str, handler: CallHandler) -> Call:
        """Proxies before kas take fewer streams than tunnels would like; the modules' calls must find room."""
        if self.engine.room <= _FOR_MODULES:
            raise RpcError(StatusCode.UNAVAILABLE, "the connection takes no more tunnels")
        return self._open(path, handler)

    def _open(self, path: str, handler: CallHandler, metadata: Metadata = ()) -> Call:
        return self.engine.open_call(path, handler, (*self._kas.metadata(), *metadata))

    def _serve(self, path: str, metadata: Metadata, call: Call) -> CallHandler:
        del metadata  # a trace's; ours begin here
        if path != KUBERNETES_API_MAKE_REQUEST.path:
            call.fail(StatusCode.UNIMPLEMENTED, f"unknown method {path[:128]}")
            return NOBODY
        return HttpCallee(call, self._acceptor, lambda: _NO_AGENT_ID)

    def _heard(self) -> None:
        self._answered = True


class _Witness:
    """A call's handler that also says when the call was answered."""

    __slots__ = ("_handler", "_heard")

    def __init__(self, handler: CallHandler, heard: Callable[[], None]) -> None:
        self._handler = handler
        self._heard = heard

    def message_received(self, message: bytes) -> None:
        self._heard()
        self._handler.message_received(message)

    def ended(self) -> None:
        self._handler.ended()

    def failed(self, code: StatusCode, message: str) -> None:
        self._handler.failed(code, message)

    def writable(self) -> None:
        self._handler.writable()
