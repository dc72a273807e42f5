"""A session over SPDY/3.1: each stream says in its headers which channel it is, and frames carry its bytes.

Only what the client opens is read; all header blocks of its direction share one compression, so none may be left out.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Final

from kasbah.wire.session_recording.channels import (
    FROM_CLIENT,
    FROM_CLUSTER,
    Channel,
    Hear,
    NotFollowedError,
)
from kasbah.wire.session_recording.spdy_dictionary import DICTIONARY

_HEAD_BYTES: Final = 8
_VERSION: Final = 3
_SYN_STREAM, _SYN_REPLY, _HEADERS = 1, 2, 8
# What stands before the header block.
_BLOCK_AT: Final = {_SYN_STREAM: 10, _SYN_REPLY: 4, _HEADERS: 4}
_MAX_HEADER_BYTES: Final = 64 * 1024
_MAX_STREAMS: Final = 64
_STREAM_TYPE: Final = b"streamtype"
_U32: Final = struct.Struct("!I")


class SpdySession:
    """Follows both directions of one connection, from the first byte after the 101."""

    def __init__(self, hear: Hear, *, with_input: bool) -> None:
        self._hear = hear
        from_client = FROM_CLIENT if with_input else FROM_CLIENT - {Channel.STDIN}
        self._channels: dict[int, Channel | None] = {}
        self._headers = zlib.decompressobj(zdict=DICTIONARY)
        self._client = _Direction(lambda stream, data: self._data(from_client, stream, data), self._opened)
        self._cluster = _Direction(lambda stream, data: self._data(FROM_CLUSTER, stream, data))

    def from_client(self, data: bytes) -> None:
        """Raises NotFollowedError: the bytes are no SPDY/3.1."""
        self._client.feed(data)

    def from_cluster(self, data: bytes) -> None:
        """Raises NotFollowedError: the bytes are no SPDY/3.1."""
        self._cluster.feed(data)

    def _opened(self, kind: int, frame: bytes) -> None:
        """A frame with headers of the client."""
        at = _BLOCK_AT[kind]
        if len(frame) < at:
            raise NotFollowedError("a SPDY frame is too short")
        try:
            block = self._headers.decompress(frame[at:], _MAX_HEADER_BYTES)
        except zlib.error as error:
            raise NotFollowedError("SPDY headers cannot be unpacked") from error
        if self._headers.unconsumed_tail:
            raise NotFollowedError("SPDY headers are too large")
        if kind != _SYN_STREAM:
            return
        if len(self._channels) >= _MAX_STREAMS:
            raise NotFollowedError("SPDY streams are too many")
        stream = _U32.unpack_from(frame)[0] & 0x7FFFFFFF
        named = _header(block, _STREAM_TYPE).decode("latin-1")
        self._channels[stream] = next((channel for channel in Channel if channel.value == named), None)

    def _data(self, wanted: frozenset[Channel], stream: int, data: bytes) -> None:
        if stream not in self._channels:
            raise NotFollowedError("SPDY data is of a stream that nobody opened")
        channel = self._channels[stream]
        if channel is not None and channel in wanted:
            self._hear(channel, data)


class _Direction:
    def __init__(
        self,
        data: Callable[[int, bytes], None],
        headers: Callable[[int, bytes], None] | None = None,
    ) -> None:
        self._data = data
        self._headers = headers
        self._head = bytearray()
        self._left = 0
        self._stream = -1
        """Of a data frame; -1 within a control frame."""
        self._kind = 0
        self._frame = bytearray()
        """Of a control frame with headers."""

    def feed(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                self._payload(piece)
            else:
                piece = data[at : at + _HEAD_BYTES - len(self._head)]
                at += len(piece)
                self._head += piece
                if len(self._head) == _HEAD_BYTES:
                    self._begin()

    def _begin(self) -> None:
        head, self._head = bytes(self._head), bytearray()
        word = _U32.unpack_from(head)[0]
        self._left = int.from_bytes(head[5:8], "big")
        if not word & 0x80000000:
            self._stream = word
            return
        self._stream, self._kind = -1, word & 0xFFFF
        if word >> 16 & 0x7FFF != _VERSION:
            raise NotFollowedError("this is not SPDY/3")
        if self._kind in _BLOCK_AT and self._left > _MAX_HEADER_BYTES:
            raise NotFollowedError("SPDY headers are too large")

    def _payload(self, piece: bytes) -> None:
        if self._stream >= 0:
            self._data(self._stream, piece)
        elif self._headers is not None and self._kind in _BLOCK_AT:
            self._frame += piece
            if not self._left:
                frame, self._frame = bytes(self._frame), bytearray()
                self._headers(self._kind, frame)


def _header(block: bytes, name: bytes) -> bytes:
    """One header's value; empty when it is not there."""
    try:
        (count,) = _U32.unpack_from(block)
        at = _U32.size
        for _ in range(min(count, _MAX_STREAMS)):
            key, at = _word(block, at)
            value, at = _word(block, at)
            if key == name:
                return value
    except struct.error as error:
        raise NotFollowedError("SPDY headers cannot be read") from error
    return b""


def _word(block: bytes, at: int) -> tuple[bytes, int]:
    (length,) = _U32.unpack_from(block, at)
    at += _U32.size
    return block[at : at + length], at + length
