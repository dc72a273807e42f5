"""What a connection still has to write: answers to frames first, then the calls, which take turns of one frame.

A call whose own window is closed leaves the line until it opens. Calls that only the connection's window holds back
wait together and come back together, in their order. Knows nothing of what arrives.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from kasbah.wire.grpc.call import GrpcCall
from kasbah.wire.grpc.frames import DATA, END_STREAM, MAX_FRAME_SIZE, NO_ERROR, frame_header
from kasbah.wire.grpc.http2 import Http2
from kasbah.wire.grpc.metadata import response_headers, trailers
from kasbah.wire.rpc import StatusCode

_NOTHING_YET: Final = b""


class Outgoing:
    """The outbound half of one connection."""

    def __init__(
        self, h2: Http2, *, server: bool, flush_wanted: Callable[[], None], forget: Callable[[GrpcCall], None]
    ) -> None:
        """`forget` is called for an answerer's call whose end has been written."""
        self._h2 = h2
        self._server = server
        self._flush_wanted = flush_wanted
        self._forget = forget
        self._answers: list[bytes] = []
        self.answer_bytes = 0
        """Bytes that do not belong to a call's turn and have not been taken."""
        self._line: OrderedDict[GrpcCall, None] = OrderedDict()
        self._starved: OrderedDict[GrpcCall, None] = OrderedDict()
        self._flush_requested = False

    def __bool__(self) -> bool:
        return bool(self._answers) or bool(self._line)

    def write(self, data: bytes) -> None:
        """Something that goes out before all calls."""
        self._answers.append(data)
        self.answer_bytes += len(data)
        self._want_flush()

    def write_h2(self) -> None:
        """What h2 has to say."""
        if data := self._h2.take_output():
            self.write(data)

    def stand_in_line(self, call: GrpcCall) -> None:
        """The call has something to send."""
        call.in_line = True
        self._line[call] = None
        self._want_flush()

    def window_opened(self) -> None:
        """The connection's window has grown."""
        if self._starved:
            self._line.update(self._starved)
            self._starved.clear()
            self._want_flush()

    def drop(self, call: GrpcCall) -> None:
        """The call is over."""
        if call.in_line:
            self._line.pop(call, None)
            self._starved.pop(call, None)
            if not self:
                self._flush_requested = False  # the flush that was asked for finds nothing to take

    def drop_calls(self) -> None:
        """No call says anything any more."""
        self._line.clear()
        self._starved.clear()

    def say_trailers(self, call: GrpcCall, code: StatusCode, message: str) -> None:
        """The answerer's end of a call. A caller that has not ended its half is told that nobody listens any more."""
        headers = trailers(code, message, head_sent=call.head_sent)
        self._h2.send_headers(call.stream_id, headers, end_stream=True)
        if not call.read_closed:
            self._h2.reset_stream(call.stream_id, NO_ERROR)

    def take(self, budget: int) -> bytes:
        """What is to be written now: all answers, and about `budget` bytes of calls."""
        self._flush_requested = False
        out: list[bytes | memoryview] = [*self._answers]
        self._answers.clear()
        self.answer_bytes = 0
        line, size = self._line, 0
        writable: list[GrpcCall] = []
        while line and size < budget:
            call, _ = line.popitem(last=False)
            call.in_line = False
            size += self._turn(call, out)
            if call.take_writable():
                writable.append(call)
        for call in writable:
            if call.handler is not None:
                call.handler.writable()
        return b"".join(out)

    def _turn(self, call: GrpcCall, out: list[bytes | memoryview]) -> int:
        """The call's head if that is due, one frame of DATA, its end if nothing else is left: bytes of DATA."""
        size = 0
        if call.queued:
            if not call.head_sent:
                call.head_sent = True
                self._h2.send_headers(call.stream_id, response_headers(gzip=call.gzip))
                out.append(self._h2.take_output())
            size = self._frame(call, out)
        if call.ended and not call.queued and not call.end_sent:
            call.end_sent = True
            if self._server:
                self.say_trailers(call, StatusCode.OK, "")
                out.append(self._h2.take_output())
                self._forget(call)
            else:
                self._h2.end_stream(call.stream_id)
                out.append(self._h2.take_output())
        return size

    def _frame(self, call: GrpcCall, out: list[bytes | memoryview]) -> int:
        h2, stream = self._h2, call.stream
        room = min(h2.outbound_flow_control_window, stream.outbound_flow_control_window, MAX_FRAME_SIZE)
        if room <= 0:
            if stream.outbound_flow_control_window > 0:
                call.in_line = True
                self._starved[call] = None
            return 0
        position = len(out)
        out.append(_NOTHING_YET)
        size = call.cut(out, room)
        h2.outbound_flow_control_window -= size
        stream.outbound_flow_control_window -= size
        flags = 0
        if call.queued:
            call.in_line = True
            self._line[call] = None
        elif call.ended and not self._server:
            flags = END_STREAM
            call.end_sent = True
            h2.end_stream(call.stream_id)
            h2.clear_outbound_data_buffer()  # the flag stands on our frame
        out[position] = frame_header(DATA, flags, call.stream_id, size)
        return size

    def _want_flush(self) -> None:
        if not self._flush_requested:
            self._flush_requested = True
            self._flush_wanted()
