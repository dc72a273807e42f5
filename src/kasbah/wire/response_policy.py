"""What of a cluster's answer reaches the client, decided once and here.

Headers by allow-list, our own security headers on every answer, no redirect, no bytes of the cluster's own framing.
Pure; small heads that come again are remembered. The bodies are spliced elsewhere and are nobody's business here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec

from kasbah.errors import PeerError
from kasbah.wire import http1
from kasbah.wire.http1 import MalformedMessageError, ResponseHead
from kasbah.wire.request_policy import VIA

SECURITY_HEADERS: Final = (
    b"Cache-Control: no-store\r\n"
    b"CDN-Cache-Control: no-store\r\n"
    b"Surrogate-Control: no-store\r\n"
    b"Vary: Origin, Cookie, Authorization\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"Content-Security-Policy: default-src 'none'; sandbox\r\n"
    b"Cross-Origin-Resource-Policy: same-site\r\n"
    b"Referrer-Policy: no-referrer\r\n"
)
"""On every answer below the proxy's prefix, the cluster's and our own."""
_REMEMBERED_HEADS = 512
_MAX_VALUE_BYTES = 2048
_ALLOWED: Final = {
    b"accept-ranges": b"Accept-Ranges",
    b"audit-id": b"Audit-Id",
    b"content-encoding": b"Content-Encoding",
    b"content-range": b"Content-Range",
    b"date": b"Date",
    b"etag": b"Etag",
    b"last-modified": b"Last-Modified",
    b"retry-after": b"Retry-After",
    b"warning": b"Warning",
    b"x-kubernetes-pf-flowschema-uid": b"X-Kubernetes-Pf-Flowschema-Uid",
    b"x-kubernetes-pf-prioritylevel-uid": b"X-Kubernetes-Pf-Prioritylevel-Uid",
}
_ALLOWED_IN_101: Final = {
    b"sec-websocket-accept": b"Sec-WebSocket-Accept",
    b"sec-websocket-extensions": b"Sec-WebSocket-Extensions",
    b"sec-websocket-protocol": b"Sec-WebSocket-Protocol",
    b"x-stream-protocol-version": b"X-Stream-Protocol-Version",
}
_PLAIN_BYTES: Final = b"Content-Type: application/octet-stream\r\n"
_PRINTABLE = re.compile(rb"[\x20-\x7e]*")
_MEDIA_TYPE = re.compile(
    rb"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+"
    rb"(?:[ \t]*;[ \t]*[A-Za-z0-9!#$&^_.+-]+=(?:[A-Za-z0-9!#$&^_.+/:-]+|\"[\x20\x21\x23-\x5b\x5d-\x7e]*\"))*"
)
_DATA_TYPE = re.compile(
    rb"(?:text/plain|application/(?:[a-z0-9.-]+\+)?(?:json|yaml|cbor|cbor-seq|protobuf|vnd\.kubernetes\.protobuf))[ \t]*(?:;|$)"
)
"""What Kubernetes answers data in; a browser shows none of it as a page, and runs none of it."""
# The reason phrases of the statuses the API server uses; another status goes without.
_REASONS: Final = {
    200: b"OK",
    201: b"Created",
    202: b"Accepted",
    204: b"No Content",
    206: b"Partial Content",
    304: b"Not Modified",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    406: b"Not Acceptable",
    409: b"Conflict",
    410: b"Gone",
    413: b"Request Entity Too Large",
    415: b"Unsupported Media Type",
    421: b"Misdirected Request",
    416: b"Requested Range Not Satisfiable",
    422: b"Unprocessable Entity",
    431: b"Request Header Fields Too Large",
    429: b"Too Many Requests",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


class RefusedResponseError(PeerError):
    """The cluster answered something that is not passed on; the client gets a 502 that says so."""


class ClientResponse(msgspec.Struct, frozen=True, eq=False, kw_only=True, gc=False):
    """The head of an answer as the client gets it."""

    status: int
    lines: bytes
    """Status line and headers, each with its CRLF; the connection adds the framing and the empty line."""
    content_length: int | None
    bodiless: bool
    content_type: bytes
    """As the cluster said it; empty when it said none, or several."""


def admit(raw: bytes, *, bodiless: bool, gzip_accepted: bool) -> ClientResponse:
    """The answer's head for the client.

    Args:
        raw: the head as agentk sent it, with the empty line.
        bodiless: the request was a HEAD.
        gzip_accepted: the request allowed gzip.

    Raises:
        RefusedResponseError: it is not passed on.
    """
    if len(raw) <= http1.REMEMBERED_HEAD_BYTES:
        return _remembered(raw, bodiless=bodiless, gzip_accepted=gzip_accepted)
    return _admit(raw, bodiless=bodiless, gzip_accepted=gzip_accepted)


def admit_101(raw: bytes, upgrade: str, websocket_accept: bytes) -> bytes | None:
    """The whole head of a 101 for the client, or None when the answer is an ordinary one.

    Args:
        raw: the head as agentk sent it.
        upgrade: the protocol the client asked for.
        websocket_accept: what the cluster must prove with for a WebSocket.

    Raises:
        RefusedResponseError: the upgrade is not the one that was asked for.
    """
    head = _parse(raw)
    if head.status != 101:
        return None
    if upgrade == "websocket" and head.values(b"sec-websocket-accept") != (websocket_accept,):
        raise RefusedResponseError("the cluster accepted a WebSocket nobody asked for")
    kept = [b"%b: %b\r\n" % (_ALLOWED_IN_101[n], v) for n, v in head.headers if n in _ALLOWED_IN_101]
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %b\r\n" % upgrade.encode()
    return switch + b"".join(kept) + b"\r\n"


def refuse_pages(response: ClientResponse) -> None:
    """Refuse what a browser, which is known by its cookie, could take for something else than data.

    Raises:
        RefusedResponseError: the body has no media type, or one that is not data.
    """
    if response.bodiless or response.content_length == 0 or _DATA_TYPE.match(response.content_type.lower()):
        return
    raise RefusedResponseError("the cluster's answer is not of a kind that a browser may get")


def _admit(raw: bytes, *, bodiless: bool, gzip_accepted: bool) -> ClientResponse:
    head = _parse(raw)
    status = head.status
    if status < 200:
        raise RefusedResponseError(f"the cluster answered with an unexpected {status}")
    if 300 <= status < 400 and status != 304:
        raise RefusedResponseError("the cluster answered with a redirect")
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, _REASONS.get(status, b""))]
    content_types: list[bytes] = []
    content_length: int | None = None
    for name, value in head.headers:
        if name == b"content-type":
            content_types.append(value)
        elif name == b"content-length":
            content_length = int(value)
        elif name in _ALLOWED and len(value) <= _MAX_VALUE_BYTES:
            if name == b"content-encoding":
                _check_encoding(value, gzip_accepted=gzip_accepted)
            if name == b"audit-id":
                lines.append(_line(name, value))  # never comes again: not worth remembering
            else:
                lines.append(_remembered_line(name, value))
    if content_types:
        lines.append(_content_type(content_types))
    lines.append(VIA)
    lines.append(SECURITY_HEADERS)
    return ClientResponse(
        status=status,
        lines=b"".join(lines),
        content_length=None if status == 204 else content_length,
        bodiless=bodiless or status in {204, 304},
        content_type=content_types[0] if len(content_types) == 1 else b"",
    )


_remembered = lru_cache(maxsize=_REMEMBERED_HEADS)(_admit)


def _parse(raw: bytes) -> ResponseHead:
    try:
        return http1.parse_response_head(raw)
    except MalformedMessageError as error:
        raise RefusedResponseError(f"the cluster's answer cannot be read: {error}") from error


def _line(name: bytes, value: bytes) -> bytes:
    """The header's line for the client; nothing when the value is not plain text."""
    return b"%b: %b\r\n" % (_ALLOWED[name], value) if _PRINTABLE.fullmatch(value) else b""


_remembered_line = lru_cache(maxsize=1024)(_line)


def _check_encoding(value: bytes, *, gzip_accepted: bool) -> None:
    if value.lower() != b"identity" and not (value.lower() == b"gzip" and gzip_accepted):
        raise RefusedResponseError("the cluster's answer is encoded in a way nobody asked for")


def _content_type(values: list[bytes]) -> bytes:
    """One type of a strict grammar, or plain bytes: a browser must not guess."""
    if len(values) > 1 or len(values[0]) > _MAX_VALUE_BYTES:
        return _PLAIN_BYTES
    return _remembered_content_type(values[0])


@lru_cache(maxsize=256)
def _remembered_content_type(value: bytes) -> bytes:
    return b"Content-Type: %b\r\n" % value if _MEDIA_TYPE.fullmatch(value) else _PLAIN_BYTES


def reason_of(status: int) -> bytes:
    """The reason phrase of a status."""
    return _REASONS.get(status, b"")
