"""A native tunnel on a WebSocket: what both shells share between the socket's callbacks and the engine.

Duck-typed as an asyncio protocol but free of asyncio: the transport and the way to run something at the end of the
loop's turn are given. Everything the engine wants written is collected and written once per loop turn, and nothing is
taken from the engine while the transport says it is full, so what waits, waits in per-stream queues where the
scheduler can still choose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from kasbah.wire.native_tunnel.engine import NativeTunnel, Role
from kasbah.wire.native_tunnel.frames import AgentHello, GoAwayCode, KasHello
from kasbah.wire.native_tunnel.tunnel_stream import TunnelProtocolError, TunnelStream
from kasbah.wire.stream import StreamHandler, StreamKind
from kasbah.wire.websocket import (
    GOING_AWAY,
    PROTOCOL_ERROR,
    Unmask,
    WebSocketError,
    WebSocketReceiver,
    binary_header,
    close_frame,
)

_BUDGET: Final = 256 * 1024
"""Bytes taken from the engine at once: what a keystroke may have to wait behind inside this process."""
_JOIN_BELOW: Final = 32 * 1024
"""Small frames are joined (one copy) rather than handed over one by one."""

_CLOSE_TIMEOUT_S: Final = 5.0
"""How long a peer that does not read may keep a closed connection's last bytes waiting."""


class TransportPort(Protocol):
    """The part of an asyncio transport that is used here."""

    def write(self, data: bytes) -> None: ...

    def writelines(self, list_of_data: Iterable[bytes | memoryview]) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class TunnelConnection:
    """Base of the shells' protocol classes; they add what happens on a greeting and on a new stream."""

    def __init__(
        self,
        role: Role,
        transport: TransportPort,
        call_soon: Callable[[Callable[[], None]], object],
        *,
        unmask: Unmask | None,
        greeted: bool = False,
    ) -> None:
        """`unmask` makes this the WebSocket's server; who has none has dialled, and masks.

        With `greeted` the handshake has told the ends who they are, and no greeting is said.
        """
        self.tunnel = NativeTunnel(role, self, greeted=greeted)
        self.failure = ""
        """Why the connection broke, when it was the peer's breach of a protocol."""
        self._transport = transport
        self._call_soon = call_soon
        self._receiver = WebSocketReceiver(unmask=unmask)
        self._masked = unmask is None
        self._paused = False
        self._closing = False
        self._closing_since: float | None = None

    # -- the socket's callbacks ----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        try:
            for piece in self._receiver.receive(data):
                self.tunnel.receive(piece)
        except TunnelProtocolError as error:
            self.break_off(str(error), PROTOCOL_ERROR)
        except WebSocketError as error:
            self.break_off(str(error), error.close_code)
        if self._receiver.replies and not self._closing:
            self._answer_pings()
        if self._receiver.closed and not self._closing:
            self._closing = True
            self._transport.close()

    def eof_received(self) -> bool | None:
        return None  # half-closed WebSockets do not exist: the transport closes

    def connection_lost(self, error: Exception | None) -> None:
        reason = self.failure or (str(error) if error else "the connection was closed")
        self._closing = True
        self.tunnel.connection_lost(reason)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._receiver.replies and not self._closing:
            self._answer_pings()
        self.flush()

    def _answer_pings(self) -> None:
        replies = self._receiver.replies
        if self._paused:
            del replies[
                :-1
            ]  # the newest answers them all (RFC 6455, 5.5.3); who pings and does not read gets no more
        else:
            self._transport.write(b"".join(replies))
            replies.clear()

    # -- orders --------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what the engine has, as long as the transport takes it."""
        while not self._paused and not self._closing and self.tunnel.has_output:
            buffers = self.tunnel.take(_BUDGET)
            size = sum(map(len, buffers))
            if not size:
                continue
            header = binary_header(size, masked=self._masked)
            if size < _JOIN_BELOW:
                self._transport.write(header + b"".join(buffers))
            else:
                self._transport.writelines([header, *buffers])

    def tick(self, now: float) -> None:
        """Once a second, with a monotonic time."""
        if self._closing:
            self._closing_since = self._closing_since or now
            if now - self._closing_since > _CLOSE_TIMEOUT_S:
                self._transport.abort()
            return
        try:
            self.tunnel.tick(now)
        except TunnelProtocolError as error:
            self.abort(str(error))

    def close(self, reason: str = "") -> None:
        """Write what is left, say goodbye and close; streams that still run are cut."""
        if not self._closing:
            self._paused = False
            self.flush()
            self._closing = True
            self._transport.write(close_frame(GOING_AWAY, reason, masked=self._masked))
            self._transport.close()
            self.tunnel.connection_lost(reason)

    def abort(self, reason: str) -> None:
        """The connection is of no use any more: drop it, whatever it still holds."""
        self.failure = reason
        self._closing = True
        self._transport.abort()

    def break_off(self, reason: str, close_code: int) -> None:
        """The peer broke the rules: tell it, and close without finishing anything."""
        if not self._closing:
            self.failure = reason
            self._closing = True
            self._transport.write(close_frame(close_code, reason, masked=self._masked))
            self._transport.close()
            self.tunnel.connection_lost(reason)

    # -- the engine's owner --------------------------------------------------------------------------------------

    def flush_wanted(self) -> None:
        self._call_soon(self.flush)

    def hello_received(self, hello: AgentHello) -> None:
        raise TunnelProtocolError(f"unexpected greeting of pod {hello.pod_id}: only an agent greets first")

    def accepted(self, hello: KasHello) -> None:
        raise TunnelProtocolError(f"unexpected greeting of {hello.server_version}: only kas accepts")

    def stream_opened(self, kind: StreamKind, opening: bytes, stream: TunnelStream) -> StreamHandler:
        raise NotImplementedError

    def go_away_received(self, code: GoAwayCode, message: str) -> None:
        raise NotImplementedError

    def finished(self) -> None:
        # Not at once: the last stream's last bytes may be on their way out of the engine in this very call.
        self._call_soon(lambda: self.close("drained"))
