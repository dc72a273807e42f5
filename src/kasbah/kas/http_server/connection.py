"""The HTTP/1.1 machine of one connection: bytes in, exchanges out, one after the other.

Keep-alive, pipelining in order and bounded, `100 Continue`, bodies with back-pressure in both directions, our own
framing of answers, deadlines by the server's coarse clock, upgrades. It knows nothing of what it carries. All of it
is synchronous; the loop calls it, and it calls the exchange. One exchange is current at a time, and everything the
client sends behind its request waits in `_held`. A client that begins with HTTP/2's preface is handed over, where the
server knows somebody who speaks it.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, cast

from prometheus_client import Counter

from kasbah.kas.http_server.clock import CoarseClock
from kasbah.kas.http_server.exchange import (
    NO_SUCH_DEADLINE,
    Exchange,
    Http2Accept,
    NullExchange,
    Route,
    Upgrade,
)
from kasbah.kas.http_server.settings import HttpServerSettings
from kasbah.wire import http1
from kasbah.wire.http1 import ChunkedBody, HeadProbe, MalformedMessageError, RequestHead

MALFORMED_REQUESTS: Final = Counter(
    "kasbah_kas_http_malformed_requests", "Requests refused before anybody looked at them", ["status"]
)
TIMED_OUT: Final = Counter(
    "kasbah_kas_http_timeouts", "Connections cut because the client was too slow", ["waiting_for"]
)
_HEAD_LATE = TIMED_OUT.labels("head")
_BODY_LATE = TIMED_OUT.labels("body")
_READER_LATE = TIMED_OUT.labels("reader")
_REASONS: Final = {
    400: "Bad Request",
    408: "Request Timeout",
    414: "URI Too Long",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
# What `_answer_left` says when it is no count of bytes.
_NOT_STARTED, _CHUNKED, _UNTIL_CLOSE, _RAW = -1, -2, -3, -4
_COALESCED_BYTES = 16 * 1024
_NEVER = NO_SUCH_DEADLINE
_HTTP2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\n"
"""As far as it looks like a head (RFC 9113, 3.4); what follows is for whoever takes over."""


class ConnectionOwner(Protocol):
    """What a connection needs of its server."""

    settings: HttpServerSettings
    clock: CoarseClock
    route: Route
    accept_http2: Http2Accept | None

    def admit(self, connection: Connection) -> bool: ...

    def authenticated(self, connection: Connection) -> None: ...

    def hand_over(self, connection: Connection) -> None: ...

    def forget(self, connection: Connection) -> None: ...

    def flush_soon(self, connection: Connection) -> None: ...


# Who answers while nobody does: the route has not chosen yet; nobody wants the rest; the last words are out.
_STARTING: Final = NullExchange()
_DISCARDING: Final = NullExchange()
_LINGERING: Final = NullExchange()


class Connection(asyncio.Protocol):
    """One client's connection; the `Client` of its exchanges."""

    __slots__ = (
        "_answer_left",
        "_body_accepted",
        "_body_bytes",
        "_body_chunks",
        "_body_done",
        "_body_due",
        "_body_left",
        "_body_paused",
        "_closing",
        "_exchange",
        "_exchange_due",
        "_first",
        "_head",
        "_held",
        "_in_loop",
        "_input_over",
        "_last_request",
        "_owner",
        "_probe",
        "_reading_paused",
        "_since",
        "_transport",
        "_unsent",
        "_wait_due",
        "_write_due",
        "address",
        "secure",
        "stranger",
        "writable",
    )

    def __init__(self, owner: ConnectionOwner, *, secure: bool = False) -> None:
        self._owner = owner
        self._since = owner.clock.now
        self._transport = cast("asyncio.Transport", None)
        self.address = ""
        self.secure = secure
        self.stranger = True
        self.writable = True
        self._closing = False
        self._exchange: Exchange | None = None
        self._head = cast("RequestHead", None)
        self._first = True
        self._held = b""
        self._probe: HeadProbe | None = None
        self._in_loop = False
        self._last_request = False
        self._input_over = False
        self._reading_paused = False
        self._body_paused = False
        self._body_accepted = False
        self._body_done = True
        self._body_left = 0
        self._body_bytes = 0
        self._body_chunks: ChunkedBody | None = None
        self._answer_left = _NOT_STARTED
        self._unsent = b""
        self._wait_due = self._exchange_due = self._body_due = self._write_due = _NEVER

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        self._transport.set_write_buffer_limits(high=self._owner.settings.write_high_water_bytes)
        self._wait_due = self._since + self._owner.settings.head_timeout_s
        if not self._owner.admit(self):
            self._refuse(503, "too many connections; try again later")

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # whatever the reason, the client has gone
        self._closing = True
        self._owner.forget(self)
        exchange, self._exchange = self._exchange, None
        self._held = self._unsent = b""
        self._wait_due = self._exchange_due = self._body_due = self._write_due = _NEVER
        if exchange is not None:
            exchange.client_gone()

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            if not (self._held or self._first) and 0 < len(data) - 4 == data.find(b"\r\n\r\n"):
                self._read_request(data)
            else:
                self._held = self._held + data if self._held else data
                self._read_requests(data)
        elif self._answer_left == _RAW:
            exchange.body_received(data)
        elif self._body_done or not self._body_accepted:
            self._hold(data)
        else:
            self._body_arrived(data)

    def eof_received(self) -> bool:
        """Keep the connection for an answer that will end; everything else is over with the client's side."""
        self.flush()  # the transport closes behind this when we answer False
        exchange = self._exchange
        if self._closing or exchange is None or exchange is _LINGERING or self.secure:
            return False
        if self._answer_left == _RAW:
            exchange.body_ended()
            return not self._closing
        self._input_over = True
        self._wait_due = self._owner.clock.now + self._owner.settings.half_close_s
        return self._body_done and not exchange.open_ended

    def pause_writing(self) -> None:
        self.writable = False
        self._write_due = self._owner.clock.now + self._owner.settings.write_stall_s

    def resume_writing(self) -> None:
        self.writable = True
        self._write_due = _NEVER
        if self._exchange is not None:
            self._exchange.client_writable()

    # What the server calls.

    @property
    def transport(self) -> asyncio.Transport:
        """Set from the beginning of the connection."""
        return self._transport

    def sweep(self, now: float) -> None:
        """Enforce what is due by now."""
        if self._wait_due <= now:
            self._waited_too_long()
        elif self._exchange_due <= now:
            self._exchange_due = _NEVER
            if self._exchange is not None:
                self._exchange.deadline_passed()
        elif self._body_due <= now:
            self._check_body_rate(now)
        elif self._write_due <= now and not (self._exchange and self._exchange.open_ended):
            _READER_LATE.inc()
            self.cut()

    def drain(self) -> None:
        """Take no further request; an idle connection closes."""
        self._last_request = True
        if self._exchange is None:
            self._close()
        else:
            self._exchange.draining()

    def cut(self) -> None:
        """Break the connection off now; its exchange hears that the client has gone."""
        if not self._closing:
            self._closing = True
            self._unsent = b""
            self._transport.abort()

    # What the exchange calls.

    def accept_body(self) -> None:
        if self._body_done or self._body_accepted or self._closing:
            return
        self._body_accepted = True
        settings = self._owner.settings
        self._body_due = self._owner.clock.now + settings.body_window_s
        self._body_bytes = 0
        if self._head.expects_continue and not self._held and self._answer_left == _NOT_STARTED:
            self._say(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._exchange is not _STARTING:
            self._deliver_held()

    def pause_body(self) -> None:
        self._body_paused = True
        self._pause_reading()

    def resume_body(self) -> None:
        self._body_paused = False
        if not self._body_done:
            self._body_due = self._owner.clock.now + self._owner.settings.body_window_s
            self._body_bytes = 0
        self._resume_reading()

    def start(self, lines: bytes, content_length: int | None, *, bodiless: bool = False) -> None:
        if self._closing:
            return
        if self._head.upgrade or (
            self._head.expects_continue and not self._body_accepted and not self._body_done
        ):
            self._last_request = (
                True  # nobody knows what the client sends next: another protocol, a body, nothing
            )
        if content_length is not None:
            framing = b"Content-Length: %d\r\n" % content_length
        else:
            framing = b""
        if bodiless:
            self._answer_left = 0
        elif content_length is not None:
            self._answer_left = content_length
        elif self._head.http_1_0:
            self._answer_left = _UNTIL_CLOSE
        else:
            self._answer_left = _CHUNKED
            framing = b"Transfer-Encoding: chunked\r\n"
        if self._last_request or not self._head.keep_alive:
            self._last_request = True
            framing += b"Connection: close\r\n"
        self._say(b"%b%b\r\n" % (lines, framing))

    def write(self, data: bytes) -> bool:
        left = self._answer_left
        if self._closing or not data:
            return self.writable
        if left == _CHUNKED:
            self._say(b"%x\r\n%b\r\n" % (len(data), data))
        elif left >= len(data):
            self._answer_left = left - len(data)
            self._say(data)
        elif left in {_RAW, _UNTIL_CLOSE}:
            self._say(data)
        else:
            self.cut()  # more than was announced
        return self.writable

    def finish(self) -> None:
        if self._closing:
            return
        left = self._answer_left
        if left == _CHUNKED:
            self._say(b"0\r\n\r\n")
        elif left == _RAW:
            self._exchange = None
            self._close()
            return
        elif left > 0 or left == _NOT_STARTED:
            self.abort()  # less than was announced
            return
        self._exchange_due = _NEVER
        if self._body_done:
            self._exchange = None
            self._next_request()
        else:
            self._discard_body()

    def abort(self) -> None:
        if not self._closing:
            self._exchange = None
            self.cut()

    def switch_protocols(self, head: bytes) -> None:
        if self._closing:
            return
        self._answer_left = _RAW
        self._exchange_due = _NEVER
        self._say(head)
        held, self._held = self._held, b""
        if held and self._exchange is not None:
            self._exchange.body_received(held)
        self._resume_reading()

    def set_deadline(self, seconds: float) -> None:
        self._exchange_due = self._owner.clock.now + seconds

    def authenticated(self) -> None:
        if self.stranger:
            self._owner.authenticated(self)

    def take_over(self) -> Upgrade:
        self.flush()
        self._transport.pause_reading()
        self._closing = True
        self._exchange = None
        self._owner.hand_over(self)
        received, self._held = self._held, b""
        return Upgrade(self._transport, received, since=self._since, known=self.authenticated)

    def flush(self) -> None:
        """Write what was said in this turn of the loop."""
        data, self._unsent = self._unsent, b""
        if data:
            self._transport.write(data)

    def _say(self, data: bytes) -> None:
        """Say this at the end of the loop's turn, with whatever else there is by then.

        One system call and one TLS record for a head and its body; and the writes of many connections follow
        each other at once, so the readers on the other side are woken together and not one by one.
        """
        if len(data) > _COALESCED_BYTES or len(self._unsent) > _COALESCED_BYTES:
            self.flush()
            self._transport.write(data)
        elif self._unsent:
            self._unsent += data
        else:
            self._unsent = data
            self._owner.flush_soon(self)

    # Requests.

    def _read_request(self, raw: bytes) -> None:
        """Begin the request that came whole and alone, as most do."""
        if self._closing:
            return
        try:
            head = http1.request_head(raw)
        except MalformedMessageError as error:
            self._refuse(error.status, str(error))
        else:
            self._in_loop = True
            self._begin(head)
            self._in_loop = False
            if self._held and self._exchange is None:
                self._read_requests(self._held)

    def _read_requests(self, fresh: bytes) -> None:
        """Begin what is complete in `_held`; `fresh` is its part that nobody has looked at yet."""
        self._in_loop = True
        while self._held and self._exchange is None and not self._closing:
            end = self._held.find(b"\r\n\r\n", max(0, len(self._held) - len(fresh) - 3))
            if end < 0:
                self._wait_for_head(fresh)
                break
            raw, self._held = self._held[: end + 4], self._held[end + 4 :]
            fresh, self._probe = self._held, None
            if self._first and raw == _HTTP2_PREFACE and self._owner.accept_http2 is not None:
                self._held = raw + self._held
                self._owner.accept_http2(self.take_over())
                break
            try:
                head = http1.request_head(raw)
            except MalformedMessageError as error:
                self._refuse(error.status, str(error))
            else:
                self._begin(head)
        self._in_loop = False

    def _wait_for_head(self, fresh: bytes) -> None:
        if len(self._held) > http1.MAX_HEAD_BYTES:
            self._refuse(431, f"the head is over {http1.MAX_HEAD_BYTES} bytes")
            return
        if self._input_over:
            self._close()
            return
        if self._probe is None:
            self._probe = HeadProbe()
            fresh = self._held
            self._wait_due = min(self._wait_due, self._owner.clock.now + self._owner.settings.head_timeout_s)
        try:
            self._probe.receive(fresh)
        except MalformedMessageError as error:
            self._refuse(error.status, str(error))

    def _begin(self, head: RequestHead) -> None:
        if not self._input_over:
            self._wait_due = _NEVER
        self._first = False
        self._head = head
        self._answer_left = _NOT_STARTED
        self._body_accepted = self._body_paused = False
        self._body_done = not head.has_body
        self._body_left = head.content_length or 0
        self._body_chunks = ChunkedBody() if head.chunked else None
        self._exchange = _STARTING
        exchange = self._owner.route(head, self)
        if self._exchange is _STARTING:
            self._exchange = exchange
            if self._body_accepted:
                self._deliver_held()

    def _next_request(self) -> None:
        if self._last_request or (self._input_over and not self._held):
            if self._held:
                self._linger()
            else:
                self._close()
            return
        self._since = self._owner.clock.now
        self._wait_due = self._since + self._owner.settings.idle_timeout_s
        self._body_paused = False  # the last body's
        if self._reading_paused:
            self._resume_reading()
        if self._held and not self._in_loop:
            self._read_requests(self._held)

    # Bodies.

    def _deliver_held(self) -> None:
        held, self._held = self._held, b""
        if held:
            self._body_arrived(held)
        self._resume_reading()

    def _body_arrived(self, data: bytes) -> None:
        exchange = self._exchange
        if self._body_chunks is not None:
            try:
                pieces, self._held = self._body_chunks.receive(data)
            except MalformedMessageError as error:
                self._break_off(error)
                return
            self._body_done = self._body_chunks.complete
        else:
            piece, self._held = data[: self._body_left], data[self._body_left :]
            pieces = [piece]
            self._body_left -= len(piece)
            self._body_done = self._body_left == 0
        self._body_bytes += len(data)
        if self._body_done:
            self._body_due = _NEVER
        for piece in pieces:
            if self._exchange is exchange and exchange is not None:
                exchange.body_received(piece)
        if self._body_done and self._exchange is exchange and exchange is not None:
            if exchange is _DISCARDING:
                self._exchange = None
                self._next_request()
            else:
                exchange.body_ended()
        elif exchange is _DISCARDING and self._body_bytes > self._owner.settings.discard_bytes:
            self.abort()

    def _discard_body(self) -> None:
        """The answer is out before the whole body is in: read the rest, so that the client can read the answer."""
        if self._head.expects_continue and not self._body_accepted:
            self._exchange = None
            self._linger()
            return
        self._exchange = _DISCARDING
        self._body_accepted = True
        self._body_paused = False
        self._body_bytes = 0
        self._body_due = _NEVER
        self._wait_due = self._owner.clock.now + self._owner.settings.head_timeout_s
        self._deliver_held()

    def _check_body_rate(self, now: float) -> None:
        settings = self._owner.settings
        if not self._reading_paused and self._body_bytes < settings.body_window_s * settings.body_bytes_per_s:
            _BODY_LATE.inc()
            self._break_off(MalformedMessageError("the body came too slowly", status=408))
            return
        self._body_bytes = 0
        self._body_due = now + settings.body_window_s

    def _hold(self, data: bytes) -> None:
        if self._exchange is _LINGERING:
            return
        self._held = self._held + data if self._held else data
        if len(self._held) > self._owner.settings.held_bytes:
            self._pause_reading()

    # Ends.

    def _waited_too_long(self) -> None:
        self._wait_due = _NEVER
        if self._exchange is None and self._held:
            _HEAD_LATE.inc()
            self._refuse(408, "the request's head did not come in time")
        elif self._exchange is None:
            self._close()
        else:
            self.cut()  # discarding, lingering, or half-closed and still without an answer

    def _break_off(self, error: MalformedMessageError) -> None:
        """The request cannot be read any further."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()
        if self._answer_left == _NOT_STARTED:
            self._refuse(error.status, str(error))
        else:
            self.abort()

    def _refuse(self, status: int, text: str) -> None:
        MALFORMED_REQUESTS.labels(str(status)).inc()
        body = f"{text}\n".encode("utf-8", "backslashreplace")
        head = (
            f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"X-Content-Type-Options: nosniff\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.flush()
        self._transport.write(head.encode() + body)
        self._linger()

    def _linger(self) -> None:
        """Close, but read on for a moment: closing over unread bytes would tear our last words away."""
        self._held, self._probe = b"", None
        self._body_done, self._answer_left = True, _NOT_STARTED
        self._exchange = _LINGERING
        self._exchange_due = self._body_due = _NEVER
        self._wait_due = self._owner.clock.now + self._owner.settings.linger_s
        self.flush()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._closing = True
            self._transport.close()
        self._resume_reading()

    def _close(self) -> None:
        if not self._closing:
            self.flush()
            self._closing = True
            self._transport.close()

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self._closing:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and not self._closing and not self._body_paused:
            self._reading_paused = False
            self._transport.resume_reading()
