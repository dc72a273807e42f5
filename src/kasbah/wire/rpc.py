"""Calls between agentk and kas: GitLab's gRPC methods, whatever carries them.

A handler is an async function over protobuf messages and knows no transport; the same handler answers over gRPC and
over a stream of the native tunnel. On the native tunnel a message is framed as in gRPC: one byte 0 (not compressed),
four bytes length, the message.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError, Message

from kasbah.errors import PeerError

_PREFIX = struct.Struct("!BI")
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
RESET_CODE_BASE = 1000
"""On the native tunnel a status other than OK ends the stream with this much added to make a reset code."""

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)


class StatusCode(enum.IntEnum):
    """gRPC's status codes that we use."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class RpcError(PeerError):
    """A call ended with a status other than OK."""

    def __init__(self, code: StatusCode, message: str) -> None:
        super().__init__(message, retryable=code in {StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED})
        self.code = code


@dataclass(frozen=True, slots=True)
class UnaryMethod(Generic[Req, Resp]):
    """One request, one response."""

    path: str
    """`/package.Service/Method`, as gRPC names it."""
    request: type[Req]
    response: type[Resp]


@dataclass(frozen=True, slots=True)
class ServerStreamMethod(Generic[Req, Resp]):
    """One request, responses until the server ends."""

    path: str
    request: type[Req]
    response: type[Resp]


def encode_message(message: Message) -> bytes:
    """The message with gRPC's five-byte prefix."""
    body = message.SerializeToString()
    return _PREFIX.pack(0, len(body)) + body


class MessageReader(Generic[Resp]):
    """Cuts a byte stream into messages of one type; holds at most one message."""

    def __init__(self, message_type: type[Resp], max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._type = message_type
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def receive(self, data: bytes) -> list[Resp]:
        """The messages that this data completes.

        Raises:
            RpcError: a message is compressed, too long, or not of the type.
        """
        self._buffer += data
        messages: list[Resp] = []
        while len(self._buffer) >= _PREFIX.size:
            compressed, length = _PREFIX.unpack_from(self._buffer)
            if compressed:
                raise RpcError(StatusCode.UNIMPLEMENTED, "compressed messages are not accepted here")
            if length > self._max_bytes:
                raise RpcError(
                    StatusCode.RESOURCE_EXHAUSTED,
                    f"a message of {length} bytes is over the limit of {self._max_bytes}",
                )
            end = _PREFIX.size + length
            if len(self._buffer) < end:
                break
            try:
                messages.append(self._type.FromString(bytes(self._buffer[_PREFIX.size : end])))
            except DecodeError as error:
                raise RpcError(
                    StatusCode.INVALID_ARGUMENT, f"not a {self._type.__name__}: {error}"
                ) from error
            del self._buffer[:end]
        return messages
