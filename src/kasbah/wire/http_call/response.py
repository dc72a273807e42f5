"""An answer's head: HTTP/1.1 bytes as the first message of an answer, and back. Pure; small ones are remembered."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec
from google.protobuf.message import DecodeError

from kasbah.wire.automaton import Walk
from kasbah.wire.http_call.automaton import HTTP_RESPONSE
from kasbah.wire.http_call.headers import MAX_HEADER_MESSAGE_BYTES, header_lines, header_map
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpResponse
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import HttpResponse as ResponseHead
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.rpc import RpcError, StatusCode

SWITCHING: Final = 101
_REMEMBERED_BYTES: Final = 4096
_REMEMBERED: Final = 512
_STATUS_LINE_START: Final = len(b"HTTP/1.1 ")
_NOTHING: Final[frozenset[str]] = frozenset()


class CarriedResponse(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A head on its way."""

    status: int
    data: bytes
    """Going out: the `HttpResponse` with the header, serialized. Coming in: the head with its empty line."""


def message_of(head: bytes, upgrade: str) -> CarriedResponse:
    """The first message of an answer; `upgrade` is the protocol that was asked for, or empty."""
    if len(head) <= _REMEMBERED_BYTES:
        return _message_remembered(head, upgrade)
    return _message(head, upgrade)


def head_of(message: bytes) -> CarriedResponse:
    """The head that the first message of an answer holds; what only one connection concerns is left out.

    Raises:
        RpcError: INVALID_ARGUMENT: it is no header, or one that could be read in two ways.
    """
    return _head_remembered(message) if len(message) <= _REMEMBERED_BYTES else _head(message)


def _message(head: bytes, upgrade: str) -> CarriedResponse:
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    words = first[_STATUS_LINE_START:]
    status = int(words[:3])
    headers = header_map(lines)
    if status == SWITCHING:
        headers["Upgrade"] = Values(value=[upgrade])
        headers["Connection"] = Values(value=["upgrade"])
    response = ResponseHead(status_code=status, status=words.decode("latin-1").strip(), header=headers)
    message = HttpResponse(header=HttpResponse.Header(response=response))
    return CarriedResponse(status=status, data=message.SerializeToString())


def _head(message: bytes) -> CarriedResponse:
    if len(message) > MAX_HEADER_MESSAGE_BYTES:
        raise _refused(f"its header is over {MAX_HEADER_MESSAGE_BYTES} bytes")
    try:
        parsed = HttpResponse.FromString(message)
    except DecodeError as error:
        raise _refused(f"not an HttpResponse: {error}") from error
    Walk(HTTP_RESPONSE).step(parsed.WhichOneof("message"))
    response = parsed.header.response
    if not 100 <= response.status_code <= 599:
        raise _refused("its status is not one of HTTP")
    lines = header_lines(response.header, _NOTHING)
    head = "\r\n".join([f"HTTP/1.1 {response.status_code} ", *lines, "", ""])
    return CarriedResponse(status=response.status_code, data=head.encode())


def _refused(why: str) -> RpcError:
    return RpcError(StatusCode.INVALID_ARGUMENT, f"an answer of the agent cannot be read: {why}")


_message_remembered = lru_cache(maxsize=_REMEMBERED)(_message)
_head_remembered = lru_cache(maxsize=_REMEMBERED)(_head)
