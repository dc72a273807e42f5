"""One call on this side: what it still has to send, and what its handler has not taken yet.

A call bounds its own room. Messages are handed to the handler, and decompressed, only while the handler has less than
one window of unconsumed bytes; what arrives meanwhile waits as it came. The peer's window opens by what was consumed,
and by what of a message larger than the window has arrived. A call knows nothing of the others; the connection
(`engine`) writes its frames.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from h2.stream import H2Stream

from kasbah.wire.grpc.limits import GrpcLimits
from kasbah.wire.grpc.messages import MessageAssembler, frame_message
from kasbah.wire.rpc import CallHandler, RpcError, StatusCode

QUEUE_LIMIT: Final = 256 * 1024
"""Bytes queued on one call from which `send` answers False."""


class CallOwner(Protocol):
    """The connection, as one of its calls sees it."""

    limits: GrpcLimits

    def stand_in_line(self, call: GrpcCall) -> None:
        """The call has something to send."""

    def open_window(self, call: GrpcCall, increment: int) -> None:
        """The peer may send so much more on this call."""

    def hold(self, unread: int, partial: int) -> bool:
        """So much more (or less) is kept for this call; False: partial messages take too much room."""

    def inflating(self, size: int) -> bool:
        """So much came out of a decompressor beyond what everybody may have; False: no more for now."""

    def close(self, call: GrpcCall, code: StatusCode, message: str) -> None:
        """End the call on the wire, at once: the answerer with this status, the caller by giving up. Forgets it."""

    def forget(self, call: GrpcCall) -> None:
        """The call is over on the wire and here; calls its `detach`."""


class GrpcCall:
    """One call's state on this side; implements `rpc.Call`."""

    __slots__ = (
        "_assembler",
        "_credited",
        "_delivering",
        "_ended",
        "_handler",
        "_outcome",
        "_outstanding",
        "_owner",
        "_partial",
        "_peer_ended",
        "_queue",
        "_queued",
        "_received",
        "_unread",
        "_wants_writable",
        "_window",
        "end_sent",
        "gzip",
        "head_received",
        "head_sent",
        "in_line",
        "read_closed",
        "stream",
        "stream_id",
    )

    def __init__(self, owner: CallOwner, stream_id: int, handler: CallHandler, *, gzip: bool) -> None:
        """`gzip`: compress what is worth it. What arrives is decompressed when `accept_gzip` says so."""
        self._owner = owner
        self.stream_id = stream_id
        self._handler: CallHandler | None = handler
        self.gzip = gzip
        self.head_sent = False
        """The answerer's headers are out."""
        self.head_received = False
        """The peer's headers are here, so DATA may follow."""
        self.read_closed = False
        """The peer's half of the stream is over."""
        self.end_sent = False
        """The caller's half is over."""
        self.in_line = False
        self.stream: H2Stream
        self._queue: deque[bytes | memoryview] = deque()
        self._queued = 0
        self._ended = False
        self._wants_writable = False
        self._assembler = MessageAssembler(
            owner.limits.max_message_bytes, gzip=False, inflating=owner.inflating
        )
        self._window = owner.limits.stream_window
        self._received = 0
        self._credited = 0
        self._outstanding = 0
        self._unread = 0
        self._partial = 0
        self._delivering = False
        self._peer_ended = False
        self._outcome: tuple[StatusCode, str] | None = None

    def __repr__(self) -> str:
        return f"GrpcCall({self.stream_id}, received={self._received}, queued={self._queued})"

    # -- orders (rpc.Call) ---------------------------------------------------------------------------------------

    def send(self, message: bytes) -> bool:
        """Queue a message; False from 256 KiB on: stop until `CallHandler.writable`."""
        if self._ended or self._handler is None:
            return True
        for piece in frame_message(message, gzip=self.gzip):
            self._queue.append(piece)
            self._queued += len(piece)
        if not self.in_line:
            self._owner.stand_in_line(self)
        if self._queued < QUEUE_LIMIT:
            return True
        self._wants_writable = True
        return False

    def end(self) -> None:
        """We have said all."""
        if not self._ended and self._handler is not None:
            self._ended = True
            if not self.in_line:
                self._owner.stand_in_line(self)

    def fail(self, code: StatusCode, message: str = "") -> None:
        """End the call at once; no callback follows. In the middle of a message it cannot end well, and is cancelled."""
        if self._handler is not None:
            if code is StatusCode.OK and self._queue and isinstance(self._queue[0], memoryview):
                code, message = StatusCode.CANCELLED, "the rest is of no use any more"
            self._owner.close(self, code, message)

    def consumed(self, size: int) -> None:
        """That many bytes of messages have left this room."""
        self._outstanding = max(0, self._outstanding - size)
        if not self._delivering and self._handler is not None:
            if len(self._assembler):  # something may wait for room
                self._deliver()
            else:
                self._settle()

    # -- the connection's side: out ------------------------------------------------------------------------------

    @property
    def handler(self) -> CallHandler | None:
        """None once the call is over."""
        return self._handler

    @handler.setter
    def handler(self, handler: CallHandler) -> None:
        self._handler = handler

    @property
    def queued(self) -> int:
        """Bytes waiting to be sent."""
        return self._queued

    @property
    def ended(self) -> bool:
        """We have said all; when nothing is queued, the end is to be sent."""
        return self._ended

    @property
    def has_work(self) -> bool:
        """Something is to be sent as soon as windows allow."""
        return self._queued > 0 or (self._ended and not self.end_sent)

    def cut(self, out: list[bytes | memoryview], room: int) -> int:
        """Move at most `room` bytes of the queue to `out`: how many."""
        queue = self._queue
        left = room
        while queue:
            piece = queue[0]
            size = len(piece)
            if size > left:
                if left:
                    view = memoryview(piece)  # a large piece is cut without copying what is left of it
                    out.append(view[:left])
                    queue[0] = view[left:]
                    left = 0
                break
            out.append(piece)
            queue.popleft()
            left -= size
        self._queued -= room - left
        return room - left

    def take_writable(self) -> bool:
        """Whether `writable` is due; at most once for each `send` that answered False."""
        if self._wants_writable and self._queued < QUEUE_LIMIT // 2:
            self._wants_writable = False
            return True
        return False

    # -- the connection's side: in -------------------------------------------------------------------------------

    def accept_gzip(self) -> None:
        """The peer's messages may be compressed."""
        self._assembler.gzip = True

    def data_received(self, data: bytes | memoryview, size: int) -> bool:
        """The payload of a DATA frame, and its size with padding; False: the peer has passed its window."""
        self._received += size
        if self._received - self._credited > self._window:
            return False
        if data:
            self._assembler.feed(data)
            if not self._delivering:
                self._deliver()
        else:
            self._settle()
        return True

    def peer_ended(self, outcome: tuple[StatusCode, str] | None = None) -> None:
        """The peer has said all; to the caller with the call's outcome."""
        self._peer_ended = True
        self._outcome = outcome
        if not self._delivering:
            self._deliver()

    def stop_sending(self) -> None:
        """Nobody reads any more what we say: the caller's side, once the answerer has ended."""
        self._ended = self.end_sent = True
        self._queue.clear()
        self._queued = 0

    def lost(self, code: StatusCode, message: str) -> None:
        """The call is over, by the peer's will or by the connection's end."""
        handler = self._handler
        if handler is not None:
            self._owner.forget(self)
            handler.failed(code, message)

    def detach(self) -> None:
        """No callback and no frame from now on."""
        self._handler = None
        self._queue.clear()
        self._queued = 0
        self._owner.hold(-self._unread, -self._partial)
        self._unread = self._partial = 0
        self._assembler.clear()

    def _deliver(self) -> None:
        """Hand over messages as long as there is room, and then the end."""
        assembler = self._assembler
        assembler.limit = self._owner.limits.max_message_bytes
        self._delivering = True
        while self._handler is not None and self._outstanding < self._window:
            try:
                message = assembler.next()
            except RpcError as error:
                self._break(error.code, str(error))
                return
            if message is None:
                break
            self._outstanding += len(message)
            self._handler.message_received(message)
        self._delivering = False
        if self._handler is None:
            return
        assembler.keep()
        self._settle()
        if self._peer_ended and not self._is_full():
            self._deliver_end()

    def _is_full(self) -> bool:
        return self._outstanding >= self._window and len(self._assembler) > 0

    def _deliver_end(self) -> None:
        handler = self._handler
        if handler is None:
            return
        if len(self._assembler) and (self._outcome is None or self._outcome[0] is StatusCode.OK):
            self._break(StatusCode.INTERNAL, "the call ended in the middle of a message")
        elif self._outcome is None:
            self._peer_ended = False  # said once
            handler.ended()
        elif self._outcome[0] is StatusCode.OK:
            self._owner.forget(self)
            handler.ended()
        else:
            self.lost(*self._outcome)

    def _break(self, code: StatusCode, message: str) -> None:
        """What the peer sent cannot be used: this call ends, on both sides."""
        handler = self._handler
        if handler is not None:
            self._owner.close(self, code, message)
            handler.failed(code, message)

    def _settle(self) -> None:
        """Account for what is held, and open the peer's window by what is not."""
        held = len(self._assembler)
        unread, partial = self._outstanding, held
        if held and unread >= self._window:
            unread, partial = unread + held, 0
        more_unread, more_partial = unread - self._unread, partial - self._partial
        self._unread, self._partial = unread, partial
        if (more_unread or more_partial) and not self._owner.hold(more_unread, more_partial) and partial:
            self._break(StatusCode.RESOURCE_EXHAUSTED, "too much is being received at once; try again")
            return
        due = self._received - unread - self._credited
        if due >= self._window // 2 and not self._peer_ended:
            self._credited += due
            self._owner.open_window(self, due)
