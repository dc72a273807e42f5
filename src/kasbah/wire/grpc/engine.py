"""One HTTP/2 connection with gRPC calls on it, either end: bytes in, bytes out, calls.

h2 keeps the streams' states, compresses headers and checks what peers may send when. On the path of every byte its cost
is felt, so DATA and WINDOW_UPDATE pass it by, and with them the windows. What may cost us much and a peer little is
counted before h2 sees it. The rooms around this one each hold one part: `frames` cuts, `outgoing` writes, `windows` and
`floods` count, `call` is one call.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from h2.events import (
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes

from kasbah.wire.grpc import frames
from kasbah.wire.grpc.call import GrpcCall
from kasbah.wire.grpc.floods import Floods
from kasbah.wire.grpc.frames import ACK, ENHANCE_YOUR_CALM, SETTINGS, Frame, FrameReader, GrpcProtocolError
from kasbah.wire.grpc.http2 import Http2
from kasbah.wire.grpc.keepalive import KEEPALIVE_PING, KeepAlive
from kasbah.wire.grpc.limits import MIN_CONNECTION_WINDOW, GrpcLimits
from kasbah.wire.grpc.metadata import (
    GZIP,
    HeaderList,
    MalformedHeadersError,
    NotGrpcError,
    RequestHeaders,
    http_answer,
    read_request,
    read_response,
    read_trailers,
    trailers,
)
from kasbah.wire.grpc.outgoing import Outgoing
from kasbah.wire.grpc.status import status_of_http, status_of_reset
from kasbah.wire.grpc.windows import InboundWindow
from kasbah.wire.rpc import NOBODY, Call, CallHandler, Metadata, RpcError, StatusCode

__all__ = ["GrpcEngine", "GrpcLimits", "GrpcOwner", "GrpcProtocolError", "GrpcRole"]

CLIENT_KEEPALIVE_S: Final = 55.0
SERVER_KEEPALIVE_S: Final = 50.0
_CALLS_BEFORE_SETTINGS: Final = 100
"""Calls a client opens before it knows how many the server takes."""
_SWEEP_EVERY: Final = 64
"""Calls that end between two times h2 is asked to forget its closed streams, at least."""
_RETIRE_FROM_ID: Final = 2**30
_DRAIN_PING: Final = b"goingoff"


class GrpcRole(enum.Enum):
    """Which end this is."""

    CLIENT = "client"
    SERVER = "server"


class GrpcOwner(Protocol):
    """Implemented by the shell around an engine. No callback may raise."""

    def flush_wanted(self) -> None:
        """There is output; call `take` soon."""

    def call_opened(self, path: str, metadata: Metadata, call: Call) -> CallHandler:
        """To the server: a call of the peer, its path as `/package.Service/Method`.

        The call may be ended at once; the handler is then not called.
        """

    def going_away(self) -> None:
        """The peer takes no new calls; running ones go on."""

    def finished(self) -> None:
        """After our `go_away` or the peer's: the last call is over."""


class GrpcEngine:
    """One connection's state on this side."""

    def __init__(
        self,
        role: GrpcRole,
        owner: GrpcOwner,
        *,
        authority: str = "",
        scheme: str = "http",
        user_agent: str = "",
        limits: GrpcLimits | None = None,
        compress: bool = False,
    ) -> None:
        """`compress`: a client's messages are compressed when that is worth it; a server does as its client."""
        self.role = role
        self._limits = limits or GrpcLimits()
        self._is_server = role is GrpcRole.SERVER
        self._owner = owner
        self._request_headers = RequestHeaders(authority, scheme, user_agent, gzip=compress)
        self._compress = compress
        self._reader = FrameReader(preface=self._is_server)
        self._arriving: Iterator[Frame] = iter(())
        self._floods = Floods(self.limits)
        self._window = InboundWindow(self.limits)
        keepalive_s = SERVER_KEEPALIVE_S if self._is_server else CLIENT_KEEPALIVE_S
        self._keepalive = KeepAlive(self.limits.keepalive_s or keepalive_s, self.limits.keepalive_timeout_s)
        self._h2 = Http2(client=not self._is_server, limits=self.limits)
        self._outgoing = Outgoing(
            self._h2, server=self._is_server, flush_wanted=owner.flush_wanted, forget=self.forget
        )
        self._calls: dict[int, GrpcCall] = {}
        self._next_id = 1
        self._last_peer_id = 0
        self._over_since_sweep = 0
        self._settings_seen = False
        self._closed = False
        self._draining = False
        self._draining_since: float | None = None
        self._drain_message = ""
        self._last_accepted = frames.MAX_STREAM_ID
        self._peer_draining = False
        self._finished = False
        self._frame_handlers: dict[int, Callable[[int, int, bytes | memoryview], None]] = {
            frames.DATA: self._data_received,
            frames.HEADERS: self._headers_received,
            frames.RST_STREAM: self._reset_received,
            frames.WINDOW_UPDATE: self._window_update_received,
            frames.SETTINGS: self._settings_received,
            frames.PING: self._ping_received,
            frames.GOAWAY: self._goaway_received,
            frames.PUSH_PROMISE: self._push_promise_received,
        }
        self._event_handlers: dict[type[Event], Callable[[Any], None]] = {
            RequestReceived: self._request_received,
            ResponseReceived: self._response_received,
            TrailersReceived: self._trailers_received,
            InformationalResponseReceived: self._informed,
            StreamReset: self._stream_reset,
            RemoteSettingsChanged: self._settings_changed,
        }
        self._outgoing.write(self._h2.begin())
        if (more := self.limits.connection_window - MIN_CONNECTION_WINDOW) > 0:
            self._outgoing.write(frames.window_update(0, more))

    @property
    def limits(self) -> GrpcLimits:
        """What the peer may ask. Others may be set once more is known of the peer; what it was told must not change:
        `max_calls`, `max_metadata_bytes` and the two windows.
        """
        return self._limits

    @limits.setter
    def limits(self, limits: GrpcLimits) -> None:
        self._limits = self._floods.limits = limits
        self._window.most_held = limits.max_buffered_bytes
        self._open_window()

    @property
    def closed(self) -> bool:
        """Nothing is taken in any more: the peer broke the protocol, or the connection is lost."""
        return self._closed

    @property
    def call_count(self) -> int:
        """Calls that are not over."""
        return len(self._calls)

    @property
    def can_open(self) -> bool:
        """Whether a client may open a call now."""
        if self._is_server or self._closed or self._draining or self._peer_draining:
            return False
        return (
            self.room > 0
            and self._next_id < _RETIRE_FROM_ID
            and self._outgoing.answer_bytes < self.limits.max_output_bytes
        )

    @property
    def room(self) -> int:
        """How many calls more than now the peer takes at once."""
        most = (
            self._h2.remote_settings.max_concurrent_streams if self._settings_seen else _CALLS_BEFORE_SETTINGS
        )
        return most - len(self._calls)

    @property
    def has_output(self) -> bool:
        """Whether `take` would answer something."""
        return bool(self._outgoing)

    # -- orders --------------------------------------------------------------------------------------------------

    def open_call(self, path: str, handler: CallHandler, metadata: Metadata = ()) -> Call:
        """Open a call (client).

        Raises:
            RpcError: UNAVAILABLE when the connection takes no calls, INVALID_ARGUMENT for metadata that cannot be sent.
        """
        if not self.can_open:
            raise RpcError(StatusCode.UNAVAILABLE, "the connection takes no new calls")
        headers = self._request_headers.of(path, metadata)
        stream_id = self._next_id
        self._next_id += 2
        call = GrpcCall(self, stream_id, handler, gzip=self._compress)
        call.head_sent = True
        self._calls[stream_id] = call
        self._h2.send_headers(stream_id, headers)
        call.stream = self._h2.streams[stream_id]
        self._outgoing.write_h2()
        return call

    def go_away(self, message: str = "") -> None:
        """Take no new calls; running ones may finish, and `finished` is called when the last is over.

        A server says so twice (RFC 9113, 6.8): calls that are under way when the first word is said are still taken.
        """
        if self._draining or self._closed:
            return
        self._draining = True
        self._drain_message = message
        if self._is_server:
            self._outgoing.write(frames.goaway(frames.MAX_STREAM_ID, frames.NO_ERROR, message))
            self._ping(_DRAIN_PING)
        else:
            self._outgoing.write(frames.goaway(0, frames.NO_ERROR, message))
            self._last_accepted = 0
            self._finish_if_idle()

    def connection_lost(self, reason: str) -> None:
        """The socket is gone: every call is told, nothing can be sent."""
        self._close()
        code = StatusCode.CANCELLED if self._is_server else StatusCode.UNAVAILABLE
        for call in list(self._calls.values()):
            call.lost(code, reason)

    def tick(self, now: float) -> None:
        """Called about once a second with a monotonic time: keep-alive and budgets.

        Raises:
            GrpcProtocolError: the peer has not answered a ping in time.
        """
        if self._closed:
            return
        self._floods.tick(now)
        if self._draining and self._last_accepted == frames.MAX_STREAM_ID:
            self._draining_since = self._draining_since or now
            if now - self._draining_since > self.limits.keepalive_timeout_s:
                self._drain()
        try:
            if self._keepalive.tick(now):
                self._ping(KEEPALIVE_PING)
        except GrpcProtocolError as error:
            self._fatal(error)

    # -- bytes in ------------------------------------------------------------------------------------------------

    def receive(self, data: bytes | memoryview) -> None:
        """Bytes from the peer, taken in at once; calls handlers.

        Raises:
            GrpcProtocolError: the peer broke the protocol or a bound. Write what `take` has, and close.
        """
        self.arrived(data)
        self.go_on()

    def arrived(self, data: bytes | memoryview) -> None:
        """Bytes from the peer, for `go_on`; not before that has taken in everything."""
        self._keepalive.heard = True
        self._arriving = self._reader.receive(data)

    def go_on(self, frames: int = 1 << 30) -> int:
        """Take in at most so many frames of what has arrived: how many more it could have been; 0: some may be left.

        Raises:
            GrpcProtocolError: as `receive`.
        """
        if self._closed:
            return frames
        try:
            for kind, flags, stream_id, payload in self._arriving:
                if not self._settings_seen and (kind != SETTINGS or flags & ACK):
                    raise GrpcProtocolError("the peer's first frame is not SETTINGS")
                self._frame_handlers.get(kind, self._ignore)(flags, stream_id, payload)
                frames -= 1
                if self.closed or not frames:
                    break
        except GrpcProtocolError as error:
            self._fatal(error)
        except ProtocolError as error:
            self._outgoing.write_h2()  # h2 has said GOAWAY already
            self._close()
            raise GrpcProtocolError(f"HTTP/2: {error}", int(error.error_code)) from error
        if self._outgoing.answer_bytes > self.limits.max_output_bytes and not self._closed:
            self._fatal(GrpcProtocolError("the peer does not read our answers", ENHANCE_YOUR_CALM))
        return frames

    def _fatal(self, error: GrpcProtocolError) -> None:
        self._outgoing.write(frames.goaway(self._last_peer_id, error.code, str(error)))
        self._close()
        raise error

    def _close(self) -> None:
        self._closed = True
        self._arriving = iter(())
        self._outgoing.drop_calls()

    def _data_received(self, flags: int, stream_id: int, payload: bytes | memoryview) -> None:
        size = len(payload)
        self._window.receive(size)
        call = self._calls.get(stream_id)
        if call is None:
            self._check_not_idle(stream_id)
            self._floods.idle()
        elif not call.head_received or call.read_closed:
            self._break_call(call, frames.STREAM_CLOSED, "DATA where none may be")
        else:
            if flags & frames.PADDED:
                payload = frames.unpadded(flags, payload)
            if flags & frames.END_STREAM:
                call.read_closed = True
                self._to_h2(frames.frame_header(frames.DATA, frames.END_STREAM, stream_id, 0))
            elif not payload:
                self._floods.idle()
            if not call.data_received(payload, size):
                self._break_call(call, frames.FLOW_CONTROL_ERROR, "more DATA than the call's window allows")
            elif flags & frames.END_STREAM:
                self._peer_ended(call, (StatusCode.INTERNAL, "the answer ended without a status"))
        self._open_window()

    def _open_window(self) -> None:
        if (grant := self._window.take_grant()) and not self._closed:
            self._outgoing.write(frames.window_update(0, grant))

    def _peer_ended(self, call: GrpcCall, outcome: tuple[StatusCode, str]) -> None:
        """The peer's half of the stream is over; to the caller, so is the call."""
        if self._is_server:
            call.peer_ended()
            return
        if not call.end_sent:
            self._reset(call, frames.NO_ERROR)
            call.stop_sending()
        call.peer_ended(outcome)

    def _headers_received(self, _flags: int, stream_id: int, block: bytes | memoryview) -> None:
        if stream_id not in self._calls:
            if not self._is_server:
                self._check_not_idle(stream_id)
            if stream_id <= self._last_peer_id or not self._is_server:
                self._floods.late_headers()  # under way when we cut the call; h2 must read them all the same
        self._to_h2(block)

    def _reset_received(self, flags: int, stream_id: int, payload: bytes | memoryview) -> None:
        if stream_id in self._calls:
            self._to_h2(frames.frame_header(frames.RST_STREAM, flags, stream_id, len(payload)) + payload)
        else:
            self._check_not_idle(stream_id)
            self._floods.idle()

    def _window_update_received(self, _flags: int, stream_id: int, payload: bytes | memoryview) -> None:
        increment = frames.read_window_update(payload)
        if not stream_id:
            h2 = self._h2
            h2.outbound_flow_control_window += increment
            if not increment or h2.outbound_flow_control_window > frames.MAX_WINDOW:
                raise GrpcProtocolError("an impossible WINDOW_UPDATE", frames.FLOW_CONTROL_ERROR)
            self._outgoing.window_opened()
            return
        call = self._calls.get(stream_id)
        if call is None:
            self._check_not_idle(stream_id)
            self._floods.idle()
            return
        call.stream.outbound_flow_control_window += increment
        if not increment or call.stream.outbound_flow_control_window > frames.MAX_WINDOW:
            self._break_call(call, frames.FLOW_CONTROL_ERROR, "an impossible WINDOW_UPDATE")
        elif call.has_work and not call.in_line:
            self.stand_in_line(call)

    def _settings_received(self, flags: int, stream_id: int, payload: bytes | memoryview) -> None:
        self._floods.settings()
        if not flags & frames.ACK:
            payload = frames.known_settings(payload)
        self._settings_seen = True
        self._to_h2(frames.frame_header(frames.SETTINGS, flags, stream_id, len(payload)) + payload)

    def _ping_received(self, flags: int, stream_id: int, payload: bytes | memoryview) -> None:
        self._floods.ping()
        if stream_id or len(payload) != frames.PING_SIZE:
            raise GrpcProtocolError("a PING on a stream or of a wrong length", frames.FRAME_SIZE_ERROR)
        if not flags & frames.ACK:
            self._outgoing.write(frames.frame_header(frames.PING, frames.ACK, 0, frames.PING_SIZE) + payload)
        elif payload == _DRAIN_PING:
            self._drain()

    def _goaway_received(self, _flags: int, stream_id: int, payload: bytes | memoryview) -> None:
        self._floods.settings()
        last, code, debug = frames.read_goaway(payload)
        if stream_id:
            raise GrpcProtocolError("a GOAWAY on a stream")
        if not self._peer_draining:
            self._peer_draining = True
            self._owner.going_away()
        if not self._is_server:
            why = f"the peer goes away (error {code}{': ' if debug else ''}{debug})"
            for call in [call for call in self._calls.values() if call.stream_id > last]:
                self._reset(call, frames.CANCEL)
                call.lost(StatusCode.UNAVAILABLE, why)
        self._finish_if_idle()

    def _ignore(self, _flags: int, _stream_id: int, _payload: bytes | memoryview) -> None:
        self._floods.idle()  # PRIORITY, or a type nobody here knows

    def _push_promise_received(self, _flags: int, _stream_id: int, _payload: bytes | memoryview) -> None:
        raise GrpcProtocolError("nobody may push here")

    # -- what h2 makes of it -------------------------------------------------------------------------------------

    def _to_h2(self, frame: bytes | memoryview) -> None:
        events = self._h2.receive_data(frame)
        self._outgoing.write_h2()
        for event in events:
            handler = self._event_handlers.get(type(event))
            if handler is not None:
                handler(event)

    def _request_received(self, event: RequestReceived) -> None:
        stream_id, read_closed = event.stream_id, event.stream_ended is not None
        self._last_peer_id = stream_id
        self._floods.call_opened()
        stream = self._h2.ignore_content_length(stream_id)
        if stream_id > self._last_accepted or len(self._calls) >= self.limits.max_calls:
            self._floods.reset()
            self._h2.reset_stream(stream_id, frames.REFUSED_STREAM)
            self._stream_over()
            return
        try:
            request = read_request(event.headers or (), self.limits.max_metadata_bytes)
        except MalformedHeadersError:
            self._floods.reset()
            self._h2.reset_stream(stream_id, frames.PROTOCOL_ERROR)
            self._stream_over()
        except NotGrpcError as error:
            self._refuse(stream_id, http_answer(error.status), read_closed=read_closed)
        except RpcError as error:
            answer = trailers(error.code, str(error), head_sent=False)
            self._refuse(stream_id, answer, read_closed=read_closed)
        else:
            call = GrpcCall(self, stream_id, NOBODY, gzip=request.gzip)
            call.stream = stream
            call.head_received = True
            call.read_closed = read_closed
            if request.gzip:
                call.accept_gzip()
            self._calls[stream_id] = call
            handler = self._owner.call_opened(request.path, request.metadata, call)
            if call.handler is not None:  # not already ended by its new owner
                call.handler = handler
                if read_closed:
                    call.peer_ended()

    def _refuse(self, stream_id: int, answer: HeaderList, *, read_closed: bool) -> None:
        self._floods.reset()
        self._h2.send_headers(stream_id, answer, end_stream=True)
        if not read_closed:
            self._h2.reset_stream(stream_id, frames.NO_ERROR)
        self._stream_over()

    def _response_received(self, event: ResponseReceived) -> None:
        call = self._calls.get(event.stream_id)
        if call is None:
            return
        self._h2.ignore_content_length(event.stream_id)
        call.head_received = True
        headers = event.headers or ()
        try:
            response = read_response(headers)
        except MalformedHeadersError:
            self._break_call(call, frames.PROTOCOL_ERROR, "the answer's head is malformed")
            return
        ended = event.stream_ended is not None
        call.read_closed = ended
        if ended and response.status is not None:
            self._peer_ended(call, response.status)
        elif response.http_status != 200 or not response.is_grpc:
            if not ended or not call.end_sent:
                self._reset(call, frames.CANCEL)
            call.lost(
                status_of_http(response.http_status), f"the answer is HTTP {response.http_status}, not gRPC"
            )
        elif ended:
            self._peer_ended(call, (StatusCode.INTERNAL, "the answer ended without a status"))
        elif response.encoding == GZIP:
            call.accept_gzip()
        elif response.encoding not in {b"", b"identity"}:
            self._break_call(call, frames.CANCEL, "the answer's encoding is not known here")

    def _trailers_received(self, event: TrailersReceived) -> None:
        call = self._calls.get(event.stream_id)
        if call is not None:
            call.read_closed = True
            outcome = read_trailers(event.headers or ())
            self._peer_ended(call, outcome or (StatusCode.UNKNOWN, "the answer ended without a status"))

    def _informed(self, _event: InformationalResponseReceived) -> None:
        self._floods.idle()

    def _stream_reset(self, event: StreamReset) -> None:
        call = self._calls.get(event.stream_id)
        if call is None:
            return
        if self._is_server:
            if not call.head_sent or not event.remote_reset:
                self._floods.reset()
            call.lost(StatusCode.CANCELLED, "the caller gave up")
        else:
            call.lost(
                status_of_reset(event.error_code or 0), f"the peer reset the call (error {event.error_code})"
            )

    def _settings_changed(self, event: RemoteSettingsChanged) -> None:
        if event.changed_settings.keys() & {SettingCodes.INITIAL_WINDOW_SIZE, SettingCodes.MAX_FRAME_SIZE}:
            for call in self._calls.values():
                if call.has_work and not call.in_line:
                    self.stand_in_line(call)

    # -- bytes out -----------------------------------------------------------------------------------------------

    def take(self, budget: int) -> bytes:
        """What is to be written now, about `budget` bytes of calls at most; call again while `has_output`."""
        return self._outgoing.take(budget)

    def _ping(self, payload: bytes) -> None:
        self._h2.ping(payload)
        self._outgoing.write_h2()

    # -- the calls' owner ----------------------------------------------------------------------------------------

    def stand_in_line(self, call: GrpcCall) -> None:
        """The call has something to send."""
        if not self._closed:
            self._outgoing.stand_in_line(call)

    def open_window(self, call: GrpcCall, increment: int) -> None:
        """The peer may send so much more on this call."""
        if not self._closed:
            self._outgoing.write(frames.window_update(call.stream_id, increment))

    def hold(self, unread: int, partial: int) -> bool:
        """So much more (or less) is kept for a call; False: partial messages take too much room."""
        room = self._window.hold(unread, partial)
        if unread < 0:
            self._open_window()
        return room

    def inflating(self, size: int) -> bool:
        """So much came out of a decompressor beyond what everybody may have; False: no more for now."""
        return self._floods.inflating(size)

    def close(self, call: GrpcCall, code: StatusCode, message: str) -> None:
        """End the call on the wire, at once: the answerer with this status, the caller by giving up."""
        if not self._closed and not (call.read_closed and call.end_sent):
            if self._is_server:
                if not call.head_sent and code is not StatusCode.OK:
                    self._floods.refused()
                self._outgoing.say_trailers(call, code, message)
                self._outgoing.write_h2()
            else:
                self._reset(call, frames.CANCEL)
        self.forget(call)

    def forget(self, call: GrpcCall) -> None:
        """The call is over on the wire and here."""
        if self._calls.pop(call.stream_id, None) is not None:
            self._outgoing.drop(call)
            call.detach()
            self._stream_over()

    def _stream_over(self) -> None:
        self._outgoing.write_h2()
        self._floods.call_over()
        self._over_since_sweep += 1
        if self._over_since_sweep >= max(_SWEEP_EVERY, len(self._calls)):
            self._over_since_sweep = 0
            self._h2.forget_closed_streams()
        self._finish_if_idle()

    def _break_call(self, call: GrpcCall, code: int, message: str) -> None:
        """The peer broke HTTP/2's rules on this stream."""
        self._floods.reset()
        self._reset(call, code)
        call.lost(StatusCode.INTERNAL, message)

    def _reset(self, call: GrpcCall, code: int) -> None:
        if self._closed:
            return
        try:
            self._h2.reset_stream(call.stream_id, code)
        except StreamClosedError:
            return
        self._outgoing.write_h2()

    # -- the connection ------------------------------------------------------------------------------------------

    def _highest(self, stream_id: int) -> int:
        """The highest id so far of the side that this id belongs to."""
        if stream_id % 2 == 0:
            return 0
        return self._last_peer_id if self._is_server else self._next_id - 2

    def _check_not_idle(self, stream_id: int) -> None:
        if not 0 < stream_id <= self._highest(stream_id):
            raise GrpcProtocolError(f"a frame for stream {stream_id}, which was never opened")

    def _drain(self) -> None:
        """The peer has heard that we go away: what it opens from now on is refused."""
        if self._draining and self._last_accepted == frames.MAX_STREAM_ID:
            self._last_accepted = self._last_peer_id
            self._outgoing.write(frames.goaway(self._last_peer_id, frames.NO_ERROR, self._drain_message))
            self._finish_if_idle()

    def _finish_if_idle(self) -> None:
        if self._calls or self._finished or self._closed:
            return
        if self._peer_draining or self._last_accepted != frames.MAX_STREAM_ID:
            self._finished = True
            self._owner.finished()
