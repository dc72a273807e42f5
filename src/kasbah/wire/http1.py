"""HTTP/1.1 heads and chunked bodies, parsed strictly: what is ambiguous is refused, never repaired.

httptools (llhttp) does the parsing; on top stand the checks it leaves to us,
so that no two parsers on a request's way can read one message in two ways. A head is a pure function of its bytes:
`request_head` remembers the small ones, so a client that polls costs one look-up. Knows nothing of sockets, time or
Kubernetes; used by the public server for every request, whoever answers it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import httptools
import msgspec

from kasbah.errors import PeerError

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 100
MAX_TARGET_BYTES: Final = 16 * 1024
METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
REMEMBERED_HEAD_BYTES: Final = 4096
"""Heads up to this size are remembered; larger ones are rare and would let a stranger fill the memory."""
_REMEMBERED_HEADS = 1024
_REMEMBERED_NAME_BYTES = 64
_MAX_CONTENT_LENGTH_DIGITS = 15
# An identity's extra keys are names of their own kind: client-go percent-encodes what no header may hold.
_NAME = re.compile(rb"[A-Za-z0-9-]+|(?i:impersonate-extra-)[A-Za-z0-9.%_~-]+")
_TARGET = re.compile(rb"/[!\"$-~]*")  # origin-form; visible ASCII without '#'
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?")
_LIST_SEPARATOR = re.compile(rb"[ \t]*,[ \t]*")

Headers = tuple[tuple[bytes, bytes], ...]
"""Names in lower case with their values, in the order they came."""


class MalformedMessageError(PeerError):
    """A message breaks HTTP/1.1 or our stricter reading of it; the connection cannot be used any further."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status that tells a client so."""


class RequestHead(msgspec.Struct, frozen=True, eq=False, gc=False, kw_only=True):
    """One parsed request head; compared by identity, so it can key what is derived from it."""

    method: bytes
    target: bytes
    """As it came, origin-form: path and, after the first `?`, the query."""
    headers: Headers
    size: int
    """Bytes of the raw head."""
    content_length: int | None
    chunked: bool
    keep_alive: bool
    """The client lets the connection live on."""
    http_1_0: bool
    expects_continue: bool
    upgrade: bytes
    """The value of `Upgrade` when `Connection` asks for it, else empty."""
    origin: bytes
    """The page a browser asks for, or empty."""

    @property
    def has_body(self) -> bool:
        """A body follows: one of a length above zero, or chunks."""
        return self.chunked or bool(self.content_length)

    def values(self, name: bytes) -> tuple[bytes, ...]:
        """All values of a header, by its lower-case name."""
        return tuple(value for key, value in self.headers if key == name)

    def value(self, name: bytes) -> bytes:
        """The first value of a header, or empty."""
        return next((value for key, value in self.headers if key == name), b"")


class ResponseHead(msgspec.Struct, frozen=True, eq=False, gc=False, kw_only=True):
    """One parsed response head."""

    status: int
    headers: Headers

    def values(self, name: bytes) -> tuple[bytes, ...]:
        """All values of a header, by its lower-case name."""
        return tuple(value for key, value in self.headers if key == name)


class _Collector:
    """What httptools calls while it reads one head."""

    __slots__ = ("complete", "headers", "target")

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.complete:  # what comes later is a trailer
            self.headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.complete = True


def request_head(raw: bytes) -> RequestHead:
    """The parsed head; `raw` ends with the empty line. Small heads are remembered.

    Raises:
        MalformedMessageError: it is not a head we can read in exactly one way.
    """
    return _remembered_request_head(raw) if len(raw) <= REMEMBERED_HEAD_BYTES else parse_request_head(raw)


def parse_request_head(raw: bytes) -> RequestHead:
    """The parsed head, without remembering it."""
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    _feed(parser, raw, collector)
    if not raw[:1].isalpha():
        raise MalformedMessageError("the request does not start with a method")
    method, version = parser.get_method(), parser.get_http_version()
    headers = _checked(collector.headers)
    _check_request_line(method, collector.target, version)
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        raise MalformedMessageError("a request needs exactly one Host header, with a host and perhaps a port")
    http_1_0 = version == "1.0"
    content_length, chunked = _framing(headers)
    if http_1_0 and (chunked or content_length):
        raise MalformedMessageError("an HTTP/1.0 request with a body is not accepted; use HTTP/1.1")
    connection = list_values(headers, b"connection")
    return RequestHead(
        method=method,
        target=collector.target,
        headers=headers,
        size=len(raw),
        content_length=content_length,
        chunked=chunked,
        keep_alive=not http_1_0 and b"close" not in connection,
        http_1_0=http_1_0,
        expects_continue=_expects_continue(headers),
        upgrade=b", ".join(v for n, v in headers if n == b"upgrade") if b"upgrade" in connection else b"",
        origin=b", ".join(value for name, value in headers if name == b"origin"),
    )


_remembered_request_head = lru_cache(maxsize=_REMEMBERED_HEADS)(parse_request_head)


def parse_response_head(raw: bytes) -> ResponseHead:
    """The parsed head of an answer; `raw` ends with the empty line.

    Raises:
        MalformedMessageError: the peer that answered does not speak HTTP/1.1.
    """
    collector = _Collector()
    parser = httptools.HttpResponseParser(collector)
    _feed(parser, raw, collector)
    return ResponseHead(status=parser.get_status_code(), headers=_checked(collector.headers))


def list_values(headers: Headers, name: bytes) -> list[bytes]:
    """The comma-separated members of all headers of that name, in lower case."""
    values = b",".join(value for key, value in headers if key == name)
    return [member for member in _LIST_SEPARATOR.split(values.strip().lower()) if member]


def _feed(
    parser: httptools.HttpRequestParser | httptools.HttpResponseParser, raw: bytes, collector: _Collector
) -> None:
    if len(raw) > MAX_HEAD_BYTES:
        raise MalformedMessageError(f"the head is over {MAX_HEAD_BYTES} bytes", status=431)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # the head is complete; what follows is none of this parser's business
    except httptools.HttpParserError as error:
        # A 101 without its Upgrade header makes llhttp pause behind the head and httptools call that an error.
        if not (collector.complete and _is_101(parser)):
            raise MalformedMessageError(f"the head is malformed: {error}") from error
    if not collector.complete:
        raise MalformedMessageError("the head is incomplete")


def _checked(headers: list[tuple[bytes, bytes]]) -> Headers:
    """The headers with their names in lower case, once their number and names are fit."""
    if len(headers) > MAX_HEADERS:
        raise MalformedMessageError(f"the head has over {MAX_HEADERS} headers", status=431)
    return tuple(
        [
            (_remembered_name(name) if len(name) <= _REMEMBERED_NAME_BYTES else _lower_name(name), value)
            for name, value in headers
        ]
    )


def _lower_name(name: bytes) -> bytes:
    if not _NAME.fullmatch(name):
        raise MalformedMessageError("a header's name has other characters than letters, digits and '-'")
    return name.lower()


_remembered_name = lru_cache(maxsize=512)(_lower_name)


def _is_101(parser: httptools.HttpRequestParser | httptools.HttpResponseParser) -> bool:
    return isinstance(parser, httptools.HttpResponseParser) and parser.get_status_code() == 101


def _check_request_line(method: bytes, target: bytes, version: str) -> None:
    if version not in {"1.1", "1.0"}:
        raise MalformedMessageError("only HTTP/1.1 is spoken here", status=505)
    if method not in METHODS:
        raise MalformedMessageError(f"the method {method.decode('latin-1')} is not accepted")
    if len(target) > MAX_TARGET_BYTES:
        raise MalformedMessageError(f"the target is over {MAX_TARGET_BYTES} bytes", status=414)
    if not _TARGET.fullmatch(target):
        raise MalformedMessageError("the target must start with '/' and hold neither '#' nor unescaped bytes")


def _framing(headers: Headers) -> tuple[int | None, bool]:
    lengths = [value for name, value in headers if name == b"content-length"]
    encodings = [value for name, value in headers if name == b"transfer-encoding"]
    if len(lengths) + len(encodings) > 1 or encodings not in ([], [b"chunked"]):
        raise MalformedMessageError(
            "a body's length is given once: by Content-Length or by 'Transfer-Encoding: chunked'"
        )
    if not lengths:
        return None, bool(encodings)
    if not lengths[0].isdigit() or len(lengths[0]) > _MAX_CONTENT_LENGTH_DIGITS:
        raise MalformedMessageError("Content-Length is not a number")
    return int(lengths[0]), False


def _expects_continue(headers: Headers) -> bool:
    expectations = list_values(headers, b"expect")
    if expectations and expectations != [b"100-continue"]:
        raise MalformedMessageError("the only expectation known here is 100-continue", status=417)
    return bool(expectations)


class ChunkedBody:
    """Takes the chunks off a chunked body; trailers are read and dropped.

    A body ends right behind an empty line, so the input is handed to the parser in pieces that end with one; that
    tells to the byte where the next message starts.
    """

    _OPENING = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._tail = b""
        self._parser = httptools.HttpRequestParser(self)
        self._trailer_bytes = 0
        self.complete = False
        self._parser.feed_data(self._OPENING)

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._trailer_bytes += len(name) + len(value)

    def on_message_complete(self) -> None:
        self.complete = True

    def receive(self, data: bytes) -> tuple[list[bytes], bytes]:
        """The pieces of the body in this data, and what follows the body once it is complete.

        Raises:
            MalformedMessageError: the chunks are malformed.
        """
        start, window, shift = 0, self._tail + data, len(self._tail)
        try:
            while not self.complete and start < len(data):
                found = window.find(b"\r\n\r\n", max(0, start + shift - 3))
                end = len(data) if found < 0 else max(found + 4 - shift, start + 1)
                self._parser.feed_data(data[start:end])
                start = end
        except httptools.HttpParserError as error:
            raise MalformedMessageError(f"the chunked body is malformed: {error}") from error
        if self._trailer_bytes > MAX_HEAD_BYTES:
            raise MalformedMessageError("the trailers of the body are too long", status=431)
        self._tail = window[-3:]
        pieces, self._pieces = self._pieces, []
        return pieces, data[start:]


class HeadProbe:
    """Reads along while a head is still incomplete, to refuse a malformed one at once and not at its deadline."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)

    def receive(self, data: bytes) -> None:
        """Look at the next bytes of the head.

        Raises:
            MalformedMessageError: whatever follows, this cannot become a head.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return
        except httptools.HttpParserError as error:
            raise MalformedMessageError(f"the head is malformed: {error}") from error
