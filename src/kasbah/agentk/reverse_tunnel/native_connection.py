"""A connection to kas that carries our native tunnel."""

from __future__ import annotations

import asyncio
from typing import Final

from kasbah.agentk.reverse_tunnel.connection import ConnectionState, KasConnection, StreamAcceptor
from kasbah.kit import socket_queues
from kasbah.wire.native_tunnel.calls import open_call
from kasbah.wire.native_tunnel.connection import TunnelConnection
from kasbah.wire.native_tunnel.engine import Role
from kasbah.wire.native_tunnel.frames import AgentHello, GoAwayCode, KasHello
from kasbah.wire.native_tunnel.tunnel_stream import TunnelStream
from kasbah.wire.rpc import Call, CallHandler, Metadata
from kasbah.wire.stream import StreamHandler, StreamKind

_DRAINING: Final = "agentk stops"


class NativeConnection(TunnelConnection, KasConnection):
    """Greets kas as soon as it is made."""

    kind = "native"

    def __init__(self, transport: asyncio.Transport, acceptor: StreamAcceptor, hello: AgentHello) -> None:
        super().__init__(Role.AGENT, transport, asyncio.get_running_loop().call_soon, unmask=None)
        self._acceptor = acceptor
        self._hello: KasHello | None = None
        self.state = ConnectionState()
        socket_queues.keep_short(transport)
        self.tunnel.greet(hello)

    @property
    def agent_id(self) -> int | None:
        """Known as soon as the greeting is read: streams may follow it in the same packet."""
        return self._hello.agent_id if self._hello is not None else None

    @property
    def is_ready(self) -> bool:
        return self._hello is not None and not self.state.leaving.is_set()

    def open_call(self, path: str, handler: CallHandler, metadata: Metadata = ()) -> Call:
        del metadata  # the native tunnel carries none
        return open_call(self.tunnel, path, handler)

    def drain(self) -> None:
        self.tunnel.go_away(GoAwayCode.DRAINING, _DRAINING)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.state.lost(self.failure or (str(error) if error else "kas closed the connection"))

    def accepted(self, hello: KasHello) -> None:
        self._hello = hello
        self.state.admit()

    def stream_opened(self, kind: StreamKind, opening: bytes, stream: TunnelStream) -> StreamHandler:
        return self._acceptor(kind, opening, stream)

    def go_away_received(self, code: GoAwayCode, message: str) -> None:
        if code is not GoAwayCode.DRAINING:
            self.failure = f"kas refused the connection: {message or code.name.lower()}"
            self.state.refuse(self.failure)
        self.state.leaving.set()
