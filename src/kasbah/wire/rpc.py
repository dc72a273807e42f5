"""Calls between agentk and kas: GitLab's gRPC methods, whatever carries them.

A handler is an async function over protobuf messages and knows no transport; the same handler answers over gRPC,
through a reverse tunnel and over a stream of the native tunnel. What they have in common is a `Call` on one side and
a `CallHandler` on the other. On the native tunnel a message is framed as in gRPC: one byte 0 (not compressed), four
bytes length, the message.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from google.protobuf.message import Message

from kasbah.errors import PeerError

_PREFIX = struct.Struct("!BI")
PREFIX_SIZE = _PREFIX.size
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_WAITING_MESSAGES = 16 * 1024
"""Of one call that wait to be read: carriers count bytes, and an empty message has none."""
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


@dataclass(frozen=True, slots=True)
class BidiMethod(Generic[Req, Resp]):
    """Requests and responses, each until its side ends."""

    path: str
    request: type[Req]
    response: type[Resp]


Method = UnaryMethod[Any, Any] | ServerStreamMethod[Any, Any] | BidiMethod[Any, Any]

Metadata = tuple[tuple[str, str], ...]
"""What stands beside a call's messages: keys in lower case, with their values in order."""


class Call(Protocol):
    """Orders to one call, from either end and whatever carries it; harmless once the call is over."""

    def send(self, message: bytes) -> bool:
        """Queue one serialized message. False: the queue is full, wait for `CallHandler.writable`."""

    def end(self) -> None:
        """We have said all. The caller may still hear; when the answerer ends, the call is over with status OK."""

    def fail(self, code: StatusCode, message: str = "") -> None:
        """End the call at once, queued messages dropped: the answerer with this status, the caller by giving up.

        OK only of an answerer over gRPC, whose caller has said all and reads no more.
        """

    def consumed(self, size: int) -> None:
        """One received message, of that many bytes, has left this room: as much more may come. Said of each message."""


class CallHandler(Protocol):
    """Implemented by whoever makes or answers a call. No callback may raise; after the call is over none follows."""

    def message_received(self, message: bytes) -> None:
        """The next message of the other side, decompressed. The window opens again only by `Call.consumed`."""

    def ended(self) -> None:
        """The other side has said all. To the caller: the call is over with status OK."""

    def failed(self, code: StatusCode, message: str) -> None:
        """The call is over. To the caller: with this status; to the answerer: nobody hears it any more."""

    def writable(self) -> None:
        """After a `send` that answered False: go on."""


class _Nobody:
    """Hears nothing."""

    def message_received(self, message: bytes) -> None: ...

    def ended(self) -> None: ...

    def failed(self, code: StatusCode, message: str) -> None: ...

    def writable(self) -> None: ...


NOBODY: Final[CallHandler] = _Nobody()
"""The handler of a call that has none yet, or none any more."""


def encode_message(message: Message) -> bytes:
    """The message with gRPC's five-byte prefix."""
    return prefixed(message.SerializeToString())


def prefixed(message: bytes) -> bytes:
    """A serialized message with gRPC's five-byte prefix."""
    return _PREFIX.pack(0, len(message)) + message


class MessageReader:
    """Cuts a byte stream into serialized messages; holds at most one.

    Attributes:
        is_empty: whether nothing of a next message has come.
    """

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    @property
    def is_empty(self) -> bool:
        return not self._buffer

    def receive(self, data: bytes) -> list[bytes]:
        """The messages that this data completes, without their prefixes.

        Raises:
            RpcError: a message is compressed or too long.
        """
        self._buffer += data
        messages: list[bytes] = []
        while len(self._buffer) >= PREFIX_SIZE:
            compressed, length = _PREFIX.unpack_from(self._buffer)
            if compressed:
                raise RpcError(StatusCode.UNIMPLEMENTED, "compressed messages are not accepted here")
            if length > self._max_bytes:
                raise RpcError(
                    StatusCode.RESOURCE_EXHAUSTED,
                    f"a message of {length} bytes is over the limit of {self._max_bytes}",
                )
            end = PREFIX_SIZE + length
            if len(self._buffer) < end:
                break
            messages.append(bytes(self._buffer[PREFIX_SIZE:end]))
            del self._buffer[:end]
        return messages
