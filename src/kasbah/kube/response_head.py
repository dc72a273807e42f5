"""Reads the head of an answer: strict, pure, and remembered.

A head is a function of its bytes, so whole heads and single header lines are kept in bounded caches: an upstream that
answers the same way a thousand times is parsed once, and an API server, whose heads differ by an audit id, costs one
line. Stricter than llhttp on purpose: a bare CR or LF, folding, a second or odd Content-Length, Content-Length beside
Transfer-Encoding, and every coding but `chunked` are errors, because each has been used to smuggle an answer.
"""

from __future__ import annotations

import enum
import re
from functools import lru_cache
from typing import Final

import msgspec

from kasbah.kube.errors import UpstreamError

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEADER_LINES: Final = 256
_CACHED_HEAD_BYTES: Final = 2048
_CACHED_LINE_BYTES: Final = 256

CHUNKED: Final = -1
"""`ResponseHead.length`: the body comes in chunks."""
UNTIL_CLOSE: Final = -2
"""`ResponseHead.length`: the body ends with the connection."""

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")
_HEADER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")


class ResponseHead(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one head says, and the head as it travels on."""

    status: int
    kept: bytes
    """Status line and end-to-end headers, as they came, with the empty line that ends them."""
    length: int
    """Bytes of body by the headers alone (before the method and status have their say), CHUNKED or UNTIL_CLOSE."""
    keep_alive: bool
    upgrade: bytes
    """The token of `Upgrade` in lower case, or empty."""


class _Role(enum.Enum):
    """What a header that does not simply travel on is for."""

    DROP = enum.auto()
    CONTENT_LENGTH = enum.auto()
    TRANSFER_ENCODING = enum.auto()
    CONNECTION = enum.auto()
    UPGRADE = enum.auto()


_ROLES: Final = {
    b"content-length": _Role.CONTENT_LENGTH,
    b"transfer-encoding": _Role.TRANSFER_ENCODING,
    b"connection": _Role.CONNECTION,
    b"upgrade": _Role.UPGRADE,
} | dict.fromkeys(
    (b"proxy-connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer"),
    _Role.DROP,
)
_USUAL_OPTIONS: Final = frozenset({b"close", b"keep-alive", b"upgrade"})


def parse(head: bytes) -> ResponseHead:
    """The head, from the status line to the empty line.

    Raises:
        UpstreamError: it is not a head that two readers would understand alike.
    """
    return _parse_cached(head) if len(head) <= _CACHED_HEAD_BYTES else _parse(head)


def _parse(head: bytes) -> ResponseHead:
    lines = head[:-4].split(b"\r\n")
    if len(lines) > MAX_HEADER_LINES:
        raise UpstreamError(f"the API server's answer has more than {MAX_HEADER_LINES} header lines")
    status, persistent = _status_cached(lines[0]) if len(lines[0]) < _CACHED_LINE_BYTES else _status(lines[0])
    framing: dict[_Role, bytes] = {}
    kept = lines[:1]
    for line in lines[1:]:
        special = _classify_cached(line) if len(line) < _CACHED_LINE_BYTES else _classify(line)
        if special is None:
            kept.append(line)
        else:
            _note(framing, special)
    options = _options(framing.get(_Role.CONNECTION, b""))
    if unusual := options - _USUAL_OPTIONS:
        kept = [line for line in kept if line.partition(b":")[0].lower() not in unusual]
    length = _body_length(framing)
    if length >= 0 and status != 204:
        kept.append(b"Content-Length: %d" % length)
    kept.append(b"\r\n")
    return ResponseHead(
        status=status,
        kept=b"\r\n".join(kept),
        length=length,
        keep_alive=persistent and length != UNTIL_CLOSE and b"close" not in options,
        upgrade=framing.get(_Role.UPGRADE, b"").lower(),
    )


def _note(framing: dict[_Role, bytes], special: tuple[_Role, bytes]) -> None:
    role, value = special
    if role in framing and role is not _Role.DROP:
        if role is not _Role.CONNECTION:
            raise UpstreamError("the API server's answer repeats a header that frames it")
        value = framing[role] + b"," + value
    framing[role] = value


def _body_length(framing: dict[_Role, bytes]) -> int:
    coding = framing.get(_Role.TRANSFER_ENCODING)
    declared = framing.get(_Role.CONTENT_LENGTH)
    if coding is not None:
        if declared is not None or coding.lower() != b"chunked":
            raise UpstreamError("the API server's answer is framed in two ways or in an unknown one")
        return CHUNKED
    if declared is None:
        return UNTIL_CLOSE
    if _LENGTH.fullmatch(declared) is None:
        raise UpstreamError("the API server's answer has a Content-Length that is not a number")
    return int(declared)


def _status(line: bytes) -> tuple[int, bool]:
    """The status, and whether the version keeps connections open."""
    if (match := _STATUS_LINE.fullmatch(line)) is None:
        raise UpstreamError("the API server's answer does not start with an HTTP/1.1 status line")
    return int(match[2]), match[1] == b"1"


def _classify(line: bytes) -> tuple[_Role, bytes] | None:
    """What a header line is for; None when it simply travels on."""
    if (match := _HEADER_LINE.fullmatch(line)) is None:
        raise UpstreamError("the API server's answer has a malformed header line")
    role = _ROLES.get(match[1].lower())
    return None if role is None else (role, match[2])


@lru_cache(maxsize=64)
def _options(connection: bytes) -> frozenset[bytes]:
    return frozenset(option.strip().lower() for option in connection.split(b",")) - {b""}


_parse_cached = lru_cache(maxsize=128)(_parse)
_status_cached = lru_cache(maxsize=64)(_status)
_classify_cached = lru_cache(maxsize=2048)(_classify)
