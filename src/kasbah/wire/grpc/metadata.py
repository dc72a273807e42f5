"""Header lists of gRPC calls: what is read from the peer's, and what ours consist of.

Our callers see a path and metadata: names in lower case with their values in order, without what belongs to HTTP/2 or
gRPC itself and without binary values. `:authority` is not looked at: agents put a whole URL there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from kasbah.wire.grpc.status import decode_message, encode_message, read_status
from kasbah.wire.rpc import Metadata, RpcError, StatusCode

HeaderList = list[tuple[bytes, bytes]]
Headers = Iterable[tuple[bytes, bytes]]

GZIP: Final = b"gzip"
_CONTENT_TYPE: Final = b"application/grpc"
_ACCEPTED: Final = (b"grpc-accept-encoding", b"identity,gzip")
_RESPONSE: Final[HeaderList] = [(b":status", b"200"), (b"content-type", _CONTENT_TYPE), _ACCEPTED]
_RESPONSE_GZIP: Final[HeaderList] = [*_RESPONSE, (b"grpc-encoding", GZIP)]
_OK_TRAILERS: Final[HeaderList] = [(b"grpc-status", b"0")]

_NAME: Final = re.compile(rb"[a-z0-9!#$%&'*+\-.^_`|~]{1,256}")
_CALLERS_NAME: Final = re.compile(rb"(?!grpc-)[a-z0-9_.\-]+(?<!-bin)")
_NOT_IN_VALUE: Final = re.compile(rb"[\x00\r\n]")
_ENTRY_OVERHEAD: Final = 32
_OURS: Final = frozenset({b"content-type", b"te", b"content-length"})
_HTTP1_ONLY: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_REQUEST_PSEUDO: Final = frozenset({b":method", b":path", b":scheme", b":authority"})
_REQUIRED_PSEUDO: Final = frozenset({b":method", b":path", b":scheme"})


class MalformedHeadersError(Exception):
    """HTTP/2 forbids such a header list; the stream is reset with PROTOCOL_ERROR."""


class NotGrpcError(Exception):
    """A request of somebody who does not speak gRPC; it is answered with this HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """A call as its caller's header list describes it."""

    path: str
    metadata: Metadata
    gzip: bool


@dataclass(frozen=True, slots=True)
class Response:
    """The answer's head."""

    http_status: int
    is_grpc: bool
    encoding: bytes
    status: tuple[StatusCode, str] | None
    """Set when this head is all (Trailers-Only)."""


def read_request(headers: Headers, max_bytes: int) -> Request:
    """What a client's header list asks for.

    Raises:
        MalformedHeadersError: not HTTP/2.
        NotGrpcError: HTTP, but not gRPC.
        RpcError: gRPC, but over a limit or with an unknown encoding.
    """
    pseudo: dict[bytes, bytes] = {}
    content_type, encoding = b"", b""
    size, regular = 0, False
    metadata: list[tuple[str, str]] = []
    for name, value in headers:
        size += len(name) + len(value) + _ENTRY_OVERHEAD
        if name[:1] == b":":
            if name not in _REQUEST_PSEUDO or name in pseudo or regular:
                raise MalformedHeadersError
            pseudo[name] = value
            continue
        regular = True
        if name == b"content-type":
            content_type = value
        elif name == b"grpc-encoding":
            encoding = value
        else:
            key = _handed_out(name)
            if _NOT_IN_VALUE.search(value):
                raise MalformedHeadersError
            if key and size <= max_bytes:
                _append(metadata, key, value)
    if not pseudo.keys() >= _REQUIRED_PSEUDO:
        raise MalformedHeadersError
    if pseudo[b":method"] != b"POST":
        raise NotGrpcError(405)
    if not _is_grpc(content_type):
        raise NotGrpcError(415)
    if size > max_bytes:
        raise RpcError(
            StatusCode.RESOURCE_EXHAUSTED, f"metadata of {size} bytes is over the limit of {max_bytes}"
        )
    if encoding not in {b"", b"identity", GZIP}:
        raise RpcError(
            StatusCode.UNIMPLEMENTED, f"the encoding {encoding[:32].decode('latin-1')} is not known here"
        )
    return Request(_read_path(pseudo[b":path"]), tuple(metadata), encoding == GZIP)


def read_response(headers: Headers) -> Response:
    """The head of an answer.

    Raises:
        MalformedHeadersError: not HTTP/2.
    """
    status, content_type, encoding = b"", b"", b""
    for name, value in headers:
        if name == b":status":
            status = value
        elif name == b"content-type":
            content_type = value
        elif name == b"grpc-encoding":
            encoding = value
    if len(status) != 3 or not status.isdigit():
        raise MalformedHeadersError
    return Response(int(status), _is_grpc(content_type), encoding, read_trailers(headers))


def read_trailers(headers: Headers) -> tuple[StatusCode, str] | None:
    """The outcome that these trailers tell; None when they tell none."""
    code: StatusCode | None = None
    message = ""
    for name, value in headers:
        if name == b"grpc-status":
            code = read_status(value)
        elif name == b"grpc-message":
            message = decode_message(value)
    return None if code is None else (code, message)


def response_headers(*, gzip: bool) -> HeaderList:
    """The head before the first message of an answer."""
    return _RESPONSE_GZIP if gzip else _RESPONSE


def trailers(code: StatusCode, message: str, *, head_sent: bool) -> HeaderList:
    """The end of an answer; with the head in it (Trailers-Only) when there was none yet."""
    if code is StatusCode.OK:
        end = _OK_TRAILERS
    else:
        end = [(b"grpc-status", b"%d" % code), (b"grpc-message", encode_message(message))]
    return end if head_sent else _RESPONSE + end


def http_answer(status: int) -> HeaderList:
    """The whole answer to somebody who does not speak gRPC."""
    return [(b":status", b"%d" % status)]


class RequestHeaders:
    """Writes the header lists of one client's calls."""

    def __init__(self, authority: str, scheme: str, user_agent: str, *, gzip: bool) -> None:
        self._before: HeaderList = [(b":method", b"POST"), (b":scheme", scheme.encode())]
        self._after: HeaderList = [
            (b":authority", authority.encode()),
            (b"content-type", _CONTENT_TYPE),
            (b"te", b"trailers"),
            _ACCEPTED,
        ]
        if gzip:
            self._after.append((b"grpc-encoding", GZIP))
        if user_agent:
            self._after.append((b"user-agent", user_agent.encode()))

    def of(self, path: str, metadata: Metadata) -> HeaderList:
        """The header list of a call.

        Raises:
            RpcError: a name or value that cannot be sent.
        """
        headers = [*self._before, (b":path", path.encode()), *self._after]
        for key, value in metadata:
            name, text = key.encode(), value.encode()
            if not _CALLERS_NAME.fullmatch(name) or name in _OURS or _NOT_IN_VALUE.search(text):
                raise RpcError(StatusCode.INVALID_ARGUMENT, f"the metadata {key!r} cannot be sent")
            headers.append((name, text))
        return headers


def _is_grpc(content_type: bytes) -> bool:
    return content_type.startswith(_CONTENT_TYPE) and content_type[len(_CONTENT_TYPE) :][:1] in {
        b"",
        b"+",
        b";",
    }


def _read_path(path: bytes) -> str:
    try:
        return path.decode("ascii")
    except UnicodeDecodeError as error:
        raise RpcError(StatusCode.UNIMPLEMENTED, "a method's name is ASCII") from error


def _append(metadata: list[tuple[str, str]], key: str, value: bytes) -> None:
    with suppress(UnicodeDecodeError):  # nobody could send it on
        metadata.append((key, value.decode()))


def _handed_out(name: bytes) -> str | None:
    return _known_name(name) if len(name) <= 64 else _read_name(name)


def _read_name(name: bytes) -> str | None:
    """The name as callers see it; None when they do not."""
    if not _NAME.fullmatch(name) or name in _HTTP1_ONLY:
        raise MalformedHeadersError
    if name in _OURS or name.startswith(b"grpc-") or name.endswith(b"-bin"):
        return None
    return name.decode()


_known_name = lru_cache(maxsize=256)(_read_name)
