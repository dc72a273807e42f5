"""One stream of a tunnel, this side's half of it: what it may still send, and what it has taken.

A sender never passes the absolute limit its reader has given; a reader that sees it passed breaks the connection. What
is queued is bounded: `send` answers False from `QUEUE_LIMIT` on. A stream knows nothing of the others; the connection
(`engine`) lets it emit one frame at a time.
"""

from __future__ import annotations

from typing import Final, Protocol

from kasbah.errors import PeerError
from kasbah.wire.native_tunnel.frames import (
    END,
    GROWN_WINDOW,
    HEADER,
    MAX_PAYLOAD,
    OPENING_HEADER,
    FrameType,
    frame,
)
from kasbah.wire.stream import ResetCode, StreamClass, StreamHandler

QUEUE_LIMIT: Final = 256 * 1024
"""Bytes queued on one stream from which `send` answers False."""
BULK_FROM: Final = 128 * 1024
"""A small stream that has sent this much shares the connection as bulk."""

# Looked up per frame: plain numbers cost less than members of an enumeration.
_OPEN, _HEAD, _DATA, _WINDOW, _ANSWER = (
    int(kind) for kind in (FrameType.OPEN, FrameType.HEAD, FrameType.DATA, FrameType.WINDOW, FrameType.ANSWER)
)
_HEADS: Final = frozenset({_HEAD, _ANSWER})
STREAM_FRAMES: Final = frozenset({_HEAD, _DATA, _WINDOW, _ANSWER, int(FrameType.RESET)})
"""The types of frame that a stream takes."""
STREAM_HEADER: Final = OPENING_HEADER.size - HEADER.size
"""Kind and class, before the opening."""
_SMALL, _BULK = int(StreamClass.SMALL), int(StreamClass.BULK)


class TunnelProtocolError(PeerError):
    """The peer broke the tunnel's rules; the connection cannot go on."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=True)


class StreamOwner(Protocol):
    """The connection, as one of its streams sees it."""

    @property
    def window(self) -> int:
        """What this side is ready to take on a new stream."""

    @property
    def answers_taken(self) -> bool:
        """Whether the peer takes ANSWER frames."""

    def send_control(self, data: bytes) -> None:
        """A frame that goes out before all others."""

    def stand_in_line(self, stream: TunnelStream, stream_class: int) -> None:
        """The stream has something to send."""

    def forget(self, stream: TunnelStream) -> None:
        """The stream is over on this side."""


class TunnelStream:
    """One stream's state on this side; implements `stream.Stream`."""

    __slots__ = (
        "_class",
        "_consumed",
        "_end_sent",
        "_ended",
        "_granted",
        "_handler",
        "_head",
        "_in_line",
        "_kind",
        "_opening",
        "_peer_ended",
        "_queue",
        "_queued",
        "_received",
        "_send_limit",
        "_sent",
        "_tunnel",
        "_wants_writable",
        "stream_id",
    )

    def __init__(
        self,
        tunnel: StreamOwner,
        stream_id: int,
        stream_class: int,
        send_limit: int,
        handler: StreamHandler,
    ) -> None:
        self._tunnel = tunnel
        self.stream_id = stream_id
        self._kind = 0
        self._class = stream_class
        self._handler: StreamHandler | None = handler
        self._opening: bytes | None = None
        self._head: bytes | None = None
        self._queue: list[bytes | memoryview] = []
        self._queued = 0
        self._sent = 0
        self._send_limit = send_limit
        self._received = 0
        self._consumed = 0
        self._granted = tunnel.window
        self._ended = False
        self._end_sent = False
        self._peer_ended = False
        self._in_line = False
        self._wants_writable = False

    def __repr__(self) -> str:
        return f"TunnelStream({self.stream_id}, sent={self._sent}, received={self._received})"

    @property
    def stream_class(self) -> StreamClass:
        """How it shares the connection now."""
        return StreamClass(self._class)

    @property
    def unsent(self) -> bool:
        """Whether its opening has not left this end: the peer knows nothing of it."""
        return self._opening is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing more passes in either direction."""
        return self._handler is None

    def send_head(self, head: bytes) -> None:
        """Say our head, once, before any data; at most 65,535 bytes."""
        if len(head) > MAX_PAYLOAD:
            handler = self._handler
            self.reset(ResetCode.PROTOCOL, "the head is over 64 KiB")
            if handler is not None:
                handler.reset(ResetCode.PROTOCOL, "the head is over 64 KiB")
            return
        self._head = head
        self._stand_in_line()

    def send(self, data: bytes) -> bool:
        """Queue data; False from 256 KiB on: stop until `StreamHandler.writable`."""
        if data and not self._ended and self._handler is not None:
            self._queue.append(data)
            self._queued += len(data)
            self._stand_in_line()
            if self._queued >= QUEUE_LIMIT:
                self._wants_writable = True
                return False
        return True

    def end(self) -> None:
        """We have said all; the other side may still speak."""
        if not self._ended:
            self._ended = True
            self._stand_in_line()

    def reset(self, code: int, message: str = "") -> None:
        """End both directions at once, dropping what is queued; no callback follows."""
        if self._handler is None:
            return
        nobody_waits = self._opening is not None or (self._end_sent and self._peer_ended)
        self._leave()
        if not nobody_waits:
            self._tunnel.send_control(
                frame(FrameType.RESET, self.stream_id, message.encode()[:512], value=code)
            )

    def consumed(self, count: int) -> None:
        """Received bytes have left our room; the peer may send as many more once half the window is free."""
        self._consumed += count
        if self._peer_ended or self._handler is None:
            return
        window = GROWN_WINDOW if self._consumed >= GROWN_WINDOW else self._tunnel.window
        if self._consumed + window - self._granted >= window // 2:
            self._granted = self._consumed + window
            self._tunnel.send_control(frame(FrameType.WINDOW, self.stream_id, value=self._granted))

    # -- the tunnel's side ---------------------------------------------------------------------------------------

    def open(self, kind: int, opening: bytes) -> None:
        """The stream is ours: `emit_opening` will say this before anything else goes out."""
        self._kind = kind
        self._opening = opening

    def take_over(self, handler: StreamHandler, *, ended: int) -> None:
        """The stream is the peer's: who handles it from now on, unless it was reset already; `ended`: it has END."""
        if self._handler is not None:
            self._handler = handler
            if ended:
                self._end_received(handler)

    def frame_received(self, kind: int, flags: int, value: int, payload: bytes) -> None:
        """A HEAD, DATA, ANSWER, WINDOW or RESET of this stream.

        Raises:
            TunnelProtocolError: after its END, past its limit, or with a gap.
        """
        handler = self._handler
        if handler is None:  # reset by a callback earlier in the same read
            return
        if kind == _DATA:
            if value != self._received or self._peer_ended:
                raise TunnelProtocolError(f"stream {self.stream_id}: data out of place at byte {value}")
            self._data_received(handler, payload)
        elif kind in _HEADS:
            if self._peer_ended or self._received:
                raise TunnelProtocolError(f"stream {self.stream_id}: head out of place")
            if kind == _HEAD:
                handler.head_received(payload)
            elif value > len(payload):
                raise TunnelProtocolError(f"stream {self.stream_id}: a head longer than its frame")
            else:
                handler.head_received(payload[:value])
                self._data_received(handler, payload[value:])
        elif kind == _WINDOW:
            if value > self._send_limit:
                self._send_limit = value
                if self._queue:
                    self._stand_in_line()
            return
        else:
            self._leave()
            handler.reset(value, payload.decode(errors="replace"))
            return
        if flags & END and not self._peer_ended:
            self._end_received(handler)

    def _data_received(self, handler: StreamHandler, data: bytes) -> None:
        received = self._received = self._received + len(data)
        if received > self._granted:
            raise TunnelProtocolError(f"stream {self.stream_id}: sent past its window")
        if data and self._handler is not None:  # still wanted, once the head was seen
            handler.data_received(data)

    def _end_received(self, handler: StreamHandler) -> None:
        self._peer_ended = True
        if self._handler is not None:
            handler.ended()
            if self._end_sent and self._handler is not None:
                self._leave()

    def emit(self, out: list[bytes | memoryview]) -> tuple[int, int]:
        """Append the next frame to `out`, a head with its first data: bytes written, and the class to wait in or -1."""
        self._in_line = False
        if self._handler is None:
            return 0, -1
        size = self._emit_data(out) if self._head is None else self._emit_head(self._head, out)
        if self._end_sent:
            if self._peer_ended:
                self._leave()
            return size, -1
        if self._in_line:  # `writable` has queued more meanwhile, and stands in line already
            return size, -1
        if self._head is not None or (self._queue and self._sent < self._send_limit) or self._must_say_end():
            self._in_line = True
            return size, self._class
        return size, -1

    def emit_opening(self, out: list[bytes | memoryview]) -> int:
        """Append the OPEN frame to `out`: bytes written. What else there is to say stands in line from now on."""
        opening = self._opening
        if opening is None:
            return 0
        self._opening = None
        nothing_else = not self._queue and self._head is None
        flags = self._end_flag() if nothing_else else 0
        size = len(opening) + STREAM_HEADER
        out.append(OPENING_HEADER.pack(self.stream_id, size, _OPEN, flags, 0, self._kind, self._class))
        out.append(opening)
        if not nothing_else:
            self._stand_in_line()
        return size

    def lost(self, code: ResetCode, message: str) -> None:
        """The connection is gone."""
        handler = self._handler
        self._leave()
        if handler is not None:
            handler.reset(code, message)

    def _must_say_end(self) -> bool:
        return self._ended and not self._queue and not self._end_sent

    def _end_flag(self) -> int:
        if self._must_say_end():
            self._end_sent = True
            return END
        return 0

    def _emit_head(self, head: bytes, out: list[bytes | memoryview]) -> int:
        """The head, and the first data in the same frame if the peer takes that."""
        self._head = None
        queue, size = self._queue, len(head)
        if not queue:
            out.append(HEADER.pack(self.stream_id, size, _HEAD, self._end_flag(), 0) + head)
            return size
        data_size = len(queue[0])
        whole = size + data_size
        if not self._tunnel.answers_taken or whole > MAX_PAYLOAD or data_size > self._send_limit - self._sent:
            out.append(HEADER.pack(self.stream_id, size, _HEAD, 0, 0) + head)
            return size + self._emit_data(out)
        data = queue.pop(0)
        out += (HEADER.pack(self.stream_id, whole, _ANSWER, self._end_flag(), size), head, data)
        self._data_sent(data_size)
        return whole

    def _emit_data(self, out: list[bytes | memoryview]) -> int:
        room = self._send_limit - self._sent
        if self._queue and room > 0:
            data = self._queue[0]
            size = min(len(data), room, MAX_PAYLOAD)
            if size == len(data):
                del self._queue[0]
            else:
                rest = memoryview(data)  # a large piece is cut without copying what is left of it
                self._queue[0], data = rest[size:], rest[:size]
        elif self._must_say_end():
            data, size = b"", 0
        else:
            return 0
        out.append(HEADER.pack(self.stream_id, size, _DATA, self._end_flag(), self._sent))
        if size:
            out.append(data)
            self._data_sent(size)
        return size

    def _data_sent(self, size: int) -> None:
        self._queued -= size
        self._sent += size
        if self._class == _SMALL and self._sent > BULK_FROM:
            self._class = _BULK
        if self._wants_writable and self._queued < QUEUE_LIMIT // 2:
            self._wants_writable = False
            if self._handler is not None:
                self._handler.writable()

    def _stand_in_line(self) -> None:
        if not self._in_line and self._opening is None and self._handler is not None:
            self._in_line = True
            self._tunnel.stand_in_line(self, self._class)

    def _leave(self) -> None:
        """The stream is over on this side: no callback and no frame from now on."""
        self._handler = None
        if self._queue:
            self._queue = []
            self._queued = 0
        self._tunnel.forget(self)
