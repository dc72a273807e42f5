"""One connection to kas, the agent's side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kasbah.errors import PeerError
from kasbah.wire.native_tunnel.calls import open_call
from kasbah.wire.native_tunnel.connection import TunnelConnection
from kasbah.wire.native_tunnel.engine import Role
from kasbah.wire.native_tunnel.frames import GoAwayCode, KasHello
from kasbah.wire.native_tunnel.stream import Stream, StreamHandler, StreamKind
from kasbah.wire.native_tunnel.tunnel_stream import TunnelStream
from kasbah.wire.rpc import Call, CallHandler, Metadata

StreamAcceptor = Callable[[StreamKind, bytes, Stream], StreamHandler]
"""Given what a stream opens, its opening and the stream: who handles it. It may answer or reset at once."""


class KasConnection(TunnelConnection, asyncio.Protocol):
    """From the handshake to the end of one connection.

    Attributes:
        admitted: kas' greeting, or why it refused.
        hello: kas' greeting as soon as it is read: streams may follow it in the same packet.
        leaving: set when no new streams can be opened here: kas drains, or the connection is gone.
        closed: set when the socket is gone.
    """

    def __init__(self, transport: asyncio.Transport, acceptor: StreamAcceptor) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(Role.AGENT, transport, loop.call_soon, unmask=None)
        self._acceptor = acceptor
        self.admitted: asyncio.Future[KasHello] = loop.create_future()
        self.hello: KasHello | None = None
        self.leaving = asyncio.Event()
        self.closed = asyncio.Event()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._refused(self.failure or (str(error) if error else "kas closed the connection"))
        self.leaving.set()
        self.closed.set()

    def accepted(self, hello: KasHello) -> None:
        self.hello = hello
        if not self.admitted.done():
            self.admitted.set_result(hello)

    def open_call(self, path: str, handler: CallHandler, metadata: Metadata = ()) -> Call:  # noqa: ARG002 - not carried
        """Make a call to kas.

        Raises:
            RpcError: UNAVAILABLE: no new streams can be opened here.
        """
        return open_call(self.tunnel, path, handler)

    def stream_opened(self, kind: StreamKind, opening: bytes, stream: TunnelStream) -> StreamHandler:
        return self._acceptor(kind, opening, stream)

    def go_away_received(self, code: GoAwayCode, message: str) -> None:
        if code is not GoAwayCode.DRAINING:
            self.failure = f"kas refused the connection: {message or code.name.lower()}"
            self._refused(self.failure)
        self.leaving.set()

    def _refused(self, reason: str) -> None:
        if not self.admitted.done():
            self.admitted.set_exception(PeerError(reason, retryable=True))
            self.admitted.exception()  # whoever waited sees it; if nobody did, that is no warning
