"""One HTTP/1.1 connection to the API server, one exchange at a time; callbacks only, nothing waits here.

The owner of an exchange gets the answer as it comes and gives orders; the connection keeps the framing honest. It goes
back to its pool only after a complete and clean exchange: whole request, whole answer, nothing behind it. Everything
else closes it, because a connection whose two ends disagree about where an answer ends serves one person's answer to
another (CVE-2018-1002105).
"""

from __future__ import annotations

import asyncio
import enum
from typing import Final, Protocol, cast

import httptools
import structlog

from kasbah.kube import response_head
from kasbah.kube.errors import UpstreamError
from kasbah.kube.response_head import CHUNKED, MAX_HEAD_BYTES, ResponseHead

MAX_INTERIM_ANSWERS: Final = 8
MAX_SILENT_CHUNK_BYTES: Final = 64 * 1024
"""Chunk extensions and trailers in a row without a byte of body."""
WRITE_HIGH_WATER: Final = 64 * 1024
_CHUNKED_PREAMBLE: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

_log = structlog.get_logger()


class Exchange(Protocol):
    """One request and its answer, as their owner sees them. Callbacks may not raise or block."""

    def connected(self, connection: UpstreamConnection) -> None:
        """A connection is yours: call `begin` now."""

    def answer_began(self, head: ResponseHead) -> None:
        """The final answer's head; 101 means that the connection is now a pipe."""

    def answer_data(self, data: bytes) -> None:
        """The next bytes of the body, chunking removed, or of the pipe."""

    def answer_ended(self) -> None:
        """The answer is whole, or the pipe's other end has said all it will say."""

    def exchange_failed(self, error: UpstreamError, *, stale: bool) -> None:
        """Over before its end. `stale`: a kept connection had died and no byte of an answer came."""

    def writing_paused(self) -> None:
        """The API server takes no more just now."""

    def writing_resumed(self) -> None:
        """It takes bytes again."""


class ConnectionOwner(Protocol):
    """Where a connection goes after an exchange."""

    def release(self, connection: UpstreamConnection) -> None:
        """The exchange was clean; the connection can serve another."""

    def discard(self, connection: UpstreamConnection) -> None:
        """The connection is gone."""

    def flush_soon(self, connection: UpstreamConnection) -> None:
        """Call its `flush` at the end of this turn of the loop."""


class _Phase(enum.Enum):
    IDLE = enum.auto()
    HEAD = enum.auto()
    COUNTED = enum.auto()
    CHUNKED = enum.auto()
    UNTIL_CLOSE = enum.auto()
    PIPE = enum.auto()
    PIPE_ENDED = enum.auto()
    """A pipe whose far end has closed its direction."""
    CLOSED = enum.auto()


# The hot path compares these per chunk; a module global is cheaper than an attribute of the enum.
_IDLE, _HEAD, _COUNTED, _CHUNKED = _Phase.IDLE, _Phase.HEAD, _Phase.COUNTED, _Phase.CHUNKED
_UNTIL_CLOSE, _PIPE, _PIPE_ENDED, _CLOSED = (
    _Phase.UNTIL_CLOSE,
    _Phase.PIPE,
    _Phase.PIPE_ENDED,
    _Phase.CLOSED,
)


class UpstreamConnection(asyncio.Protocol):
    """The connection: an asyncio protocol below, orders of an exchange above."""

    __slots__ = (
        "_bodiless",
        "_chunks",
        "_chunks_done",
        "_exchange",
        "_interim",
        "_keep_alive",
        "_left",
        "_owner",
        "_partial",
        "_paused",
        "_phase",
        "_request_open",
        "_reused",
        "_silent",
        "_transport",
        "_unsent",
        "_upgrade",
        "idle_since",
    )

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._phase = _CLOSED
        self._partial: bytearray | None = None
        self._chunks: httptools.HttpResponseParser | None = None
        self._chunks_done = False
        self._reused = False
        self._request_open = False
        self._bodiless = False
        self._keep_alive = False
        self._paused = False
        self._upgrade = b""
        self._unsent = b""
        self._left = 0
        self._interim = 0
        self._silent = 0
        self.idle_since = 0.0
        """When the pool took it back; the pool's own."""

    # Orders of the exchange

    @property
    def is_idle(self) -> bool:
        return self._phase is _IDLE

    def begin(
        self, exchange: Exchange, head: bytes, *, request_open: bool, bodiless: bool, upgrade: bytes
    ) -> None:
        """Send a request's head.

        Args:
            exchange: who hears the answer.
            head: the whole head as it goes out.
            request_open: a body follows; `request_complete` tells its end.
            bodiless: the answer has no body whatever its head says (the method is HEAD).
            upgrade: the lower-case token that a 101 must name; empty when none was asked for.
        """
        self._exchange = exchange
        self._phase = _HEAD
        self._request_open = request_open
        self._bodiless = bodiless
        self._upgrade = upgrade
        self._interim = 0
        # Not at once: the heads of one turn of the loop go out one after the other, and wake the server once.
        self._unsent = head
        self._owner.flush_soon(self)

    def flush(self) -> None:
        """Write the head that waits."""
        head, self._unsent = self._unsent, b""
        if head and self._transport is not None:
            self._transport.write(head)

    def write(self, data: bytes) -> None:
        """More of the request, framed by the caller, or of the pipe."""
        if self._exchange is not None and self._transport is not None:
            self.flush()
            self._transport.write(data)

    def request_complete(self) -> None:
        """The request's body is whole."""
        self._request_open = False

    def end_pipe(self) -> bool:
        """Half-close the pipe. False: over TLS that cannot be said; close it when it has been still for a while."""
        self.flush()
        transport = self._transport
        if transport is None or self._phase is _PIPE_ENDED:
            self.abort()
            return True
        if not transport.can_write_eof():
            return False
        transport.write_eof()
        return True

    def pause_reading(self) -> None:
        """Take no more of the answer for now; bytes of the current callback may still come."""
        if self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and self._paused:
            self._paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Drop the connection at once; the exchange hears nothing more."""
        self._exchange = None
        self._close()

    # The answer

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        try:
            if phase is _HEAD:
                self._head_bytes(data)
            elif phase is _COUNTED:
                self._counted_bytes(data)
            elif phase is _CHUNKED:
                self._chunked_bytes(data)
            elif phase is _PIPE or phase is _UNTIL_CLOSE:
                self._exchange.answer_data(data)  # type: ignore[union-attr]  # set in these phases
            else:
                self._unsolicited(data)
        except UpstreamError as error:
            self._fail(error)

    def _head_bytes(self, data: bytes) -> None:
        searched = 0
        if self._partial is not None:
            searched = max(0, len(self._partial) - 3)
            self._partial += data
            data = self._partial  # type: ignore[assignment]  # find and slices work alike
        end = data.find(b"\r\n\r\n", searched)
        if end < 0 or end > MAX_HEAD_BYTES:
            if len(data) > MAX_HEAD_BYTES:
                raise UpstreamError(f"the API server's answer has a head of over {MAX_HEAD_BYTES} bytes")
            self._partial = bytearray(data) if self._partial is None else self._partial
            return
        end += 4
        self._partial = None
        head = response_head.parse(bytes(data[:end]))
        rest = bytes(data[end:])
        if head.status >= 200 or head.status == 101:
            self._final_head(head, rest)
        else:
            self._interim_answer(rest)

    def _interim_answer(self, rest: bytes) -> None:
        self._interim += 1
        if self._interim > MAX_INTERIM_ANSWERS:
            raise UpstreamError(
                f"the API server sent more than {MAX_INTERIM_ANSWERS} interim answers to one request"
            )
        if rest:
            self._head_bytes(rest)

    def _final_head(self, head: ResponseHead, rest: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        status = head.status
        if status == 101:
            self._open_pipe(head)
        else:
            self._keep_alive = head.keep_alive and not self._upgrade
            length = 0 if self._bodiless or status in {204, 304} else head.length
            self._left = length
            if length >= 0:
                self._phase = _COUNTED
            elif length == CHUNKED:
                self._start_chunks()
            else:
                self._phase = _UNTIL_CLOSE
        exchange.answer_began(head)
        if self._exchange is not exchange:
            return  # the owner gave up on seeing the head
        if self._phase is _COUNTED:
            if rest or self._left == 0:
                self._counted_bytes(rest)
        elif rest:
            self.data_received(rest)

    def _open_pipe(self, head: ResponseHead) -> None:
        if not self._upgrade or head.upgrade != self._upgrade:
            raise UpstreamError("the API server switched to a protocol that was not asked for")
        self._phase = _PIPE
        self._keep_alive = False

    def _counted_bytes(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        left = self._left - len(data)
        if left >= 0:
            self._left = left
            if data:
                exchange.answer_data(data)
            if left == 0 and self._exchange is exchange:
                self._finish(clean=True)
            return
        if self._left:
            exchange.answer_data(data[: self._left])
        if self._exchange is exchange:
            self._finish(clean=False)

    def _start_chunks(self) -> None:
        self._phase = _CHUNKED
        self._chunks_done = False
        self._silent = 0
        if self._chunks is None:
            self._chunks = httptools.HttpResponseParser(self)
        self._chunks.feed_data(_CHUNKED_PREAMBLE)

    def _chunked_bytes(self, data: bytes) -> None:
        self._silent += len(data)
        exchange = self._exchange
        try:
            self._chunks.feed_data(data)  # type: ignore[union-attr]  # made by _start_chunks
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._chunks_done:
                raise UpstreamError("the API server's answer is not chunked as it should be") from error
            self._keep_alive = False  # something stands behind the last chunk
        if self._exchange is not exchange:
            return
        if self._chunks_done:
            self._finish(clean=True)
        elif self._silent > MAX_SILENT_CHUNK_BYTES:
            raise UpstreamError("the API server sends chunk extensions or trailers without end")

    def on_body(self, body: bytes) -> None:
        """From httptools: bytes of a chunk."""
        self._silent = 0
        if self._exchange is not None:
            self._exchange.answer_data(body)

    def on_message_begin(self) -> None:
        """From httptools: the preamble, or a second answer that nobody asked for."""
        if self._chunks_done:
            self._keep_alive = False

    def on_message_complete(self) -> None:
        """From httptools: the last chunk and the trailers are in."""
        self._chunks_done = True

    def _unsolicited(self, data: bytes) -> None:
        if self._phase is _IDLE and data:
            _log.warning("api server spoke on an idle connection", length=len(data))
            self._close()

    # Ends

    def _finish(self, *, clean: bool) -> None:
        exchange, self._exchange = self._exchange, None
        if clean and self._keep_alive and not self._request_open:
            self._phase = _IDLE
            self._reused = True
            if self._paused:
                self.resume_reading()
            self._owner.release(self)
        else:
            self._close()
        if exchange is not None:
            exchange.answer_ended()

    def _fail(self, error: UpstreamError, *, stale: bool = False) -> None:
        exchange, self._exchange = self._exchange, None
        self._close()
        if exchange is not None:
            exchange.exchange_failed(error, stale=stale)

    def _close(self) -> None:
        if self._phase is not _CLOSED:
            self._phase = _CLOSED
            self._owner.discard(self)
        self._chunks = None  # it holds us; nobody should wait for the garbage collector
        self._unsent = b""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self._phase = _IDLE

    def pause_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.writing_paused()

    def resume_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.writing_resumed()

    def eof_received(self) -> bool:
        """Keeps the transport open only where we may still speak: a pipe over plain TCP."""
        if self._phase is _IDLE:
            self._close()
        elif self._phase is _UNTIL_CLOSE:
            self._finish(clean=True)
        elif self._phase is _PIPE and self._exchange is not None:
            self._phase = _PIPE_ENDED
            self._exchange.answer_ended()
            return self._transport is not None and self._transport.can_write_eof()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._phase is _PIPE_ENDED or (self._phase is _PIPE and exc is None):
            exchange, ended = self._exchange, self._phase is _PIPE_ENDED
            self._exchange = None
            self._close()
            if exchange is not None and not ended:
                exchange.answer_ended()
            return
        stale = self._reused and self._phase is _HEAD and self._partial is None and self._interim == 0
        self._fail(_lost(exc), stale=stale)


def _lost(exc: Exception | None) -> UpstreamError:
    why = f": {exc}" if exc is not None else ""
    return UpstreamError(f"the API server closed the connection before its answer was complete{why}")
