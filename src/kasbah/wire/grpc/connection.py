"""A gRPC connection on a socket, in a WebSocket or plain: what both shells share between the socket and the engine.

Duck-typed as an asyncio protocol but free of asyncio: the transport and the way to run something at the end of the
loop's turn are given. What the engine wants written is written once per loop turn, and nothing is taken from it while
the transport says it is full, so what waits, waits in per-call queues where calls still take turns. Of very many small
frames a part is taken in each turn, and nothing is read meanwhile, so that other connections have their turns, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from kasbah.wire.grpc.engine import GrpcEngine, GrpcRole
from kasbah.wire.grpc.frames import GrpcProtocolError
from kasbah.wire.grpc.limits import GrpcLimits
from kasbah.wire.rpc import Call, CallHandler, Metadata
from kasbah.wire.websocket import (
    GOING_AWAY,
    PROTOCOL_ERROR,
    Unmask,
    WebSocketError,
    WebSocketReceiver,
    binary_header,
    close_frame,
)

_BUDGET: Final = 128 * 1024
"""Bytes taken from the engine at once."""
_FRAMES_A_TURN: Final = 1000
"""Taken in at once: some ten milliseconds of the smallest."""
_JOIN_BELOW: Final = 32 * 1024
_CLOSE_TIMEOUT_S: Final = 5.0
"""How long a peer that does not read may keep a closed connection's last bytes waiting."""


class TransportPort(Protocol):
    """The part of an asyncio transport that is used here."""

    def write(self, data: bytes) -> None: ...

    def writelines(self, list_of_data: Iterable[bytes | memoryview]) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def is_closing(self) -> bool: ...


class GrpcConnection:
    """Base of the shells' protocol classes; they add what happens on a new call."""

    def __init__(
        self,
        role: GrpcRole,
        transport: TransportPort,
        call_soon: Callable[[Callable[[], None]], object],
        *,
        websocket: bool,
        unmask: Unmask | None = None,
        authority: str = "",
        scheme: str = "http",
        user_agent: str = "",
        limits: GrpcLimits | None = None,
        compress: bool = False,
    ) -> None:
        """`websocket`: the bytes travel in binary messages; a server then needs `unmask`."""
        self.failure = ""
        """Why the connection broke, when it was the peer's breach of a protocol."""
        self._transport = transport
        self._call_soon = call_soon
        self._receiver = WebSocketReceiver(unmask=unmask) if websocket else None
        self._masked = role is GrpcRole.CLIENT
        self._arrived: deque[bytes | memoryview] = deque()
        self._turn_due = False
        self._reading_paused = False
        self._paused = False
        self._closing = False
        self._closing_since: float | None = None
        self.engine = GrpcEngine(
            role,
            self,
            authority=authority,
            scheme=scheme,
            user_agent=user_agent,
            limits=limits,
            compress=compress,
        )

    # -- the socket's callbacks ----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        try:
            self._arrived.extend([data] if self._receiver is None else self._receiver.receive(data))
        except WebSocketError as error:
            self._break_off(str(error), error.close_code)
            return
        if not self._turn_due:
            self._take_in()

    def _take_in(self) -> None:
        """A turn's part of what has arrived."""
        self._turn_due = False
        if self._closing:
            return
        engine, arrived, left = self.engine, self._arrived, _FRAMES_A_TURN
        try:
            while left := engine.go_on(left):
                if not arrived:
                    self._all_taken_in()
                    return
                left -= 1
                engine.arrived(arrived.popleft())
                if not left:
                    break
        except GrpcProtocolError as error:
            self._break_off(str(error), PROTOCOL_ERROR)
            return
        self._turn_due = True
        self._call_soon(self._take_in)
        if not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def _all_taken_in(self) -> None:
        if self._receiver is not None and not self._closing:
            self._websocket_received(self._receiver)
        if self._reading_paused and not self._closing and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()

    def eof_received(self) -> bool | None:
        return None  # nobody half-closes: the transport closes

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self._arrived.clear()
        self.ending()
        self.engine.connection_lost(self.failure or (str(error) if error else "the connection was closed"))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._receiver is not None and not self._closing:
            self._websocket_received(self._receiver)
        self.flush()

    def _websocket_received(self, receiver: WebSocketReceiver) -> None:
        """Answer the peer's pings, and its close."""
        replies = receiver.replies
        if replies and self._paused:
            del replies[:-1]  # the newest answers them all (RFC 6455, 5.5.3)
        elif replies:
            self._transport.write(b"".join(replies))
            replies.clear()
        if receiver.closed and not self._closing:
            self._closing = True
            self._transport.close()

    # -- orders --------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what the engine has, as long as the transport takes it."""
        engine = self.engine
        while not self._paused and not self._closing and engine.has_output:
            self._write(engine.take(_BUDGET))

    def _write(self, data: bytes) -> None:
        if not data:
            return
        if self._receiver is None:
            self._transport.write(data)
            return
        header = binary_header(len(data), masked=self._masked)
        if len(data) < _JOIN_BELOW:
            self._transport.write(header + data)
        else:
            self._transport.writelines([header, data])

    def tick(self, now: float) -> None:
        """Once a second, with a monotonic time."""
        if self._closing:
            self._closing_since = self._closing_since or now
            if now - self._closing_since > _CLOSE_TIMEOUT_S:
                self._transport.abort()
            return
        try:
            self.engine.tick(now)
        except GrpcProtocolError as error:
            self.abort(str(error))

    def close(self, reason: str = "") -> None:
        """Write what is left, say goodbye and close; calls that still run are cut."""
        if not self._closing:
            self._paused = False
            self.flush()
            self._say_goodbye(reason, GOING_AWAY)

    def abort(self, reason: str) -> None:
        """The connection is of no use any more: drop it, whatever it still holds."""
        self.failure = reason
        self._closing = True
        self._transport.abort()

    def _break_off(self, reason: str, close_code: int) -> None:
        """The peer broke the rules: tell it, and close without finishing anything."""
        if not self._closing:
            self.failure = reason
            self._write(self.engine.take(0))
            self._say_goodbye(reason, close_code)

    def _say_goodbye(self, reason: str, close_code: int) -> None:
        if self._closing:
            return
        self._closing = True
        if self._receiver is not None:
            self._transport.write(close_frame(close_code, reason, masked=self._masked))
        self._transport.close()
        self.ending()
        self.engine.connection_lost(reason)

    def ending(self) -> None:
        """All calls are about to be lost, one after the other; may be said again."""

    # -- the engine's owner --------------------------------------------------------------------------------------

    def flush_wanted(self) -> None:
        self._call_soon(self.flush)

    def call_opened(self, path: str, metadata: Metadata, call: Call) -> CallHandler:
        raise NotImplementedError

    def going_away(self) -> None:
        raise NotImplementedError

    def finished(self) -> None:
        # Not at once: the last call's last bytes may be on their way out of the engine in this very call.
        self._call_soon(lambda: self.close("drained"))
