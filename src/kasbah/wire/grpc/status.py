"""A call's outcome: gRPC's status codes, and what HTTP/2 or a proxy in between says instead."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from kasbah.wire.grpc import frames
from kasbah.wire.rpc import StatusCode

_MAX_MESSAGE: Final = 2048
"""Characters of a status message that are sent on, so that the trailers fit anywhere."""
_NOT_PLAIN: Final = re.compile(rb"[^\x20-\x24\x26-\x7e]")

_BY_HTTP_STATUS: Final = {
    400: StatusCode.INTERNAL,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.UNIMPLEMENTED,
    429: StatusCode.UNAVAILABLE,
    502: StatusCode.UNAVAILABLE,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.UNAVAILABLE,
}
_BY_RESET: Final = {
    frames.REFUSED_STREAM: StatusCode.UNAVAILABLE,
    frames.CANCEL: StatusCode.CANCELLED,
    frames.ENHANCE_YOUR_CALM: StatusCode.RESOURCE_EXHAUSTED,
    0xC: StatusCode.PERMISSION_DENIED,
}
_CODES: Final = {str(int(code)).encode(): code for code in StatusCode}


def status_of_http(status: int) -> StatusCode:
    """What an answer means that is not gRPC's but a proxy's."""
    return _BY_HTTP_STATUS.get(status, StatusCode.UNKNOWN)


def status_of_reset(code: int) -> StatusCode:
    """What RST_STREAM with this error code means to the caller."""
    return _BY_RESET.get(code, StatusCode.INTERNAL)


def read_status(value: bytes) -> StatusCode:
    """The value of `grpc-status`; what we have no name for is UNKNOWN."""
    return _CODES.get(value, StatusCode.UNKNOWN)


def encode_message(message: str) -> bytes:
    """A status message as the value of `grpc-message`: percent-encoded UTF-8."""
    text = message[:_MAX_MESSAGE].encode("utf-8", "replace")
    return _NOT_PLAIN.sub(lambda match: b"%%%02X" % match[0][0], text)


def decode_message(value: bytes) -> str:
    """The text of a `grpc-message`; wrongly encoded parts stay as they are."""
    return unquote_to_bytes(value).decode("utf-8", "replace")
