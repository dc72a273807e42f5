"""Length-prefixed messages: one byte whether it is compressed, four bytes length, the message."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Final

from kasbah.wire.rpc import RpcError, StatusCode

PREFIX: Final = struct.Struct("!BI")
PREFIX_SIZE: Final = 5
COMPRESS_FROM: Final = 1024
"""Messages below are not worth compressing."""
_JOIN_BELOW: Final = 8192
"""Smaller messages are joined with their prefix (one copy) rather than queued as two pieces."""
_GZIP_FORMAT: Final = 31
LARGE_INFLATED: Final = 64 * 1024
"""What of a message beyond that comes out of a decompressor is counted: a thousandth of it has arrived, perhaps."""


def frame_message(message: bytes, *, gzip: bool) -> list[bytes | memoryview]:
    """The message with its prefix, in pieces, the first of them bytes; compressed when that is agreed and makes it shorter."""
    flag = 0
    if gzip and len(message) >= COMPRESS_FROM:
        compressor = zlib.compressobj(1, zlib.DEFLATED, _GZIP_FORMAT)
        compressed = compressor.compress(message) + compressor.flush()
        if len(compressed) < len(message):
            message, flag = compressed, 1
    prefix = PREFIX.pack(flag, len(message))
    return [prefix + message] if len(message) < _JOIN_BELOW else [prefix, memoryview(message)]


class MessageAssembler:
    """Cuts what a call receives into messages; holds what is not yet asked for, and at most one partial message."""

    __slots__ = ("_data", "_inflating", "_position", "_rest", "gzip", "limit")

    def __init__(self, limit: int, *, gzip: bool, inflating: Callable[[int], bool] = lambda _: True) -> None:
        """`inflating` is told of bytes beyond LARGE_INFLATED, first of none, and says whether there may be more."""
        self.limit = limit
        """The longest message; may change."""
        self._inflating = inflating
        self.gzip = gzip
        self._rest = bytearray()
        self._data: bytes | bytearray | memoryview = self._rest
        self._position = 0

    def __len__(self) -> int:
        """Bytes held."""
        return len(self._data) - self._position

    def feed(self, data: bytes | memoryview) -> None:
        """The next bytes; they are only borrowed until `keep`."""
        if self._rest:
            self._rest += data
        else:
            self._data = data
            self._position = 0

    def keep(self) -> None:
        """Copy what is left of the borrowed bytes."""
        if self._data is not self._rest:
            self._rest += memoryview(self._data)[self._position :]
            self._data = self._rest
        elif self._position:
            del self._rest[: self._position]
        self._position = 0

    def clear(self) -> None:
        """Let go of everything."""
        self._data = self._rest = bytearray()
        self._position = 0

    def next(self) -> bytes | None:
        """The next message, decompressed; None: it is not whole yet.

        Raises:
            RpcError: it is too long, or its compression is wrong.
        """
        data, begin = self._data, self._position + PREFIX_SIZE
        if len(data) < begin:
            return None
        compressed, length = PREFIX.unpack_from(data, self._position)
        if compressed > 1:
            raise RpcError(StatusCode.INTERNAL, "a message with a malformed prefix")
        if length > self.limit:
            raise self._too_long(length)
        end = begin + length
        if len(data) < end:
            return None
        message = bytes(memoryview(data)[begin:end])
        self._position = end
        return self._inflate(message) if compressed else message

    def _inflate(self, compressed: bytes) -> bytes:
        if not self.gzip:
            raise RpcError(StatusCode.INTERNAL, "a compressed message on a call without an encoding")
        decompressor = zlib.decompressobj(_GZIP_FORMAT)
        try:
            message = decompressor.decompress(compressed, min(self.limit, LARGE_INFLATED) + 1)
            if LARGE_INFLATED < len(message) <= self.limit:
                message += self._inflate_rest(decompressor)
        except zlib.error as error:
            raise RpcError(StatusCode.INTERNAL, f"a message is not gzip: {error}") from error
        if len(message) > self.limit:
            raise self._too_long(len(message))
        if not decompressor.eof or decompressor.unused_data:
            raise RpcError(StatusCode.INTERNAL, "a compressed message is not whole")
        return message

    def _inflate_rest(self, decompressor: zlib._Decompress) -> bytes:
        if not self._inflating(0):
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, "too much is being decompressed at once; try again")
        rest = decompressor.decompress(decompressor.unconsumed_tail, self.limit - LARGE_INFLATED)
        self._inflating(len(rest))
        return rest

    def _too_long(self, length: int) -> RpcError:
        return RpcError(
            StatusCode.RESOURCE_EXHAUSTED,
            f"a message of at least {length} bytes is over the limit of {self.limit}",
        )
