"""HTTP/2 frames (RFC 9113, 4 and 6): cutting them out of a byte stream, and writing those h2 is not asked for.

A frame larger than 16 KiB, a header block larger than 64 KiB or one interrupted by anything is refused here, before h2
sees it. Knows no streams and no state beyond the frame that is arriving.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

from kasbah.errors import PeerError

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_SIZE: Final = 9
MAX_FRAME_SIZE: Final = 16_384
MAX_HEADER_BLOCK: Final = 64 * 1024
MAX_FRAGMENTS: Final = 32
"""Frames of one header block: HEADERS and CONTINUATION."""
PING_SIZE: Final = 8
MAX_STREAM_ID: Final = 2**31 - 1
MAX_WINDOW: Final = 2**31 - 1

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

NO_ERROR: Final = 0x0
PROTOCOL_ERROR: Final = 0x1
FLOW_CONTROL_ERROR: Final = 0x3
STREAM_CLOSED: Final = 0x5
FRAME_SIZE_ERROR: Final = 0x6
REFUSED_STREAM: Final = 0x7
CANCEL: Final = 0x8
COMPRESSION_ERROR: Final = 0x9
ENHANCE_YOUR_CALM: Final = 0xB

_HEADER: Final = struct.Struct("!BHBBL")
_LONG: Final = struct.Struct("!L")
_GOAWAY: Final = struct.Struct("!BHBBLLL")
_SETTING: Final = struct.Struct("!HL")
_OF_A_BLOCK: Final = frozenset({HEADERS, CONTINUATION})
_KNOWN_SETTINGS: Final = range(1, 7)
_SIZE_UPDATES: Final = re.compile(rb"(?:[\x20-\x3e]|\x3f[\x80-\xff]{0,5}[\x00-\x7f]){3}")
"""Three changes of HPACK's table size at the start of a block; two are the most anybody needs (RFC 7541, 4.2)."""

Frame = tuple[int, int, int, bytes | memoryview]
"""Type, flags, stream id, payload. A header block comes as one HEADERS whose payload is all its frames as they were."""


class GrpcProtocolError(PeerError):
    """The peer broke the protocol or a bound; the connection cannot go on.

    Attributes:
        code: HTTP/2's error code.
    """

    def __init__(self, message: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(message, retryable=True)
        self.code = code


def frame_header(kind: int, flags: int, stream_id: int, length: int) -> bytes:
    """The nine bytes before a payload."""
    return _HEADER.pack(length >> 16, length & 0xFFFF, kind, flags, stream_id)


def window_update(stream_id: int, increment: int) -> bytes:
    return frame_header(WINDOW_UPDATE, 0, stream_id, 4) + _LONG.pack(increment)


def read_window_update(payload: bytes | memoryview) -> int:
    """The increment; 0 is for the caller to refuse."""
    if len(payload) != _LONG.size:
        raise GrpcProtocolError("a WINDOW_UPDATE of a wrong length", FRAME_SIZE_ERROR)
    (increment,) = _LONG.unpack(payload)
    return int(increment) & MAX_WINDOW


def goaway(last_stream_id: int, code: int, message: str) -> bytes:
    """The debug data is cut to 256 bytes."""
    debug = message.encode()[:256]
    return _GOAWAY.pack(0, 8 + len(debug), GOAWAY, 0, 0, last_stream_id, code) + debug


def read_goaway(payload: bytes | memoryview) -> tuple[int, int, str]:
    """Last stream id, error code, debug data."""
    if len(payload) < 8:
        raise GrpcProtocolError("a GOAWAY that is too short", FRAME_SIZE_ERROR)
    last, code = struct.unpack_from("!LL", payload)
    return last & MAX_STREAM_ID, code, bytes(payload[8:264]).decode(errors="replace")


def known_settings(payload: bytes | memoryview) -> bytes:
    """The settings that mean something, each once: what nobody knows is not to be remembered."""
    if len(payload) % _SETTING.size:
        raise GrpcProtocolError("a SETTINGS frame of a wrong length", FRAME_SIZE_ERROR)
    settings = {key: value for key, value in _SETTING.iter_unpack(payload) if key in _KNOWN_SETTINGS}
    return b"".join(_SETTING.pack(key, value) for key, value in settings.items())


def unpadded(flags: int, payload: bytes | memoryview) -> bytes | memoryview:
    """DATA without its padding."""
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise GrpcProtocolError("a frame with more padding than there is room for")
    return payload[1 : len(payload) - payload[0]]


class FrameReader:
    """Cuts frames out of a byte stream; holds at most one frame, or the frames of one header block."""

    def __init__(self, *, preface: bool) -> None:
        """`preface`: this is the server's side, and the client's preface comes first."""
        self._needs_preface = preface
        self._partial = bytearray()
        self._block: list[bytes] = []
        self._block_size = 0
        self._block_id = 0

    def receive(self, data: bytes | memoryview) -> Iterator[Frame]:
        """The frames that this data completes, as they are asked for; payloads are views of `data` where possible.

        Raises:
            GrpcProtocolError: the stream of bytes is not HTTP/2, or breaks a bound.
        """
        position, end = 0, len(data)
        if self._needs_preface:
            position = min(end, len(PREFACE) - len(self._partial))
            self._partial += data[:position]
            if not PREFACE.startswith(self._partial):
                raise GrpcProtocolError("the peer does not speak HTTP/2")
            if len(self._partial) < len(PREFACE):
                return
            self._needs_preface = False
            self._partial.clear()
        view = memoryview(data)
        if self._partial:
            position = self._complete(view, position)
            if position < 0:
                return
            whole, self._partial = bytes(self._partial), bytearray()
            yield from self._cut(memoryview(whole), 0)
        yield from self._cut(view, position)

    def _complete(self, view: memoryview, position: int) -> int:
        """Fill the frame that began in earlier data: the position after it, or -1 when it is still not whole."""
        partial = self._partial
        missing = HEADER_SIZE - len(partial)
        if missing > 0:
            partial += view[position : position + missing]
            position = min(position + missing, len(view))
            if len(partial) < HEADER_SIZE:
                return -1
        missing = HEADER_SIZE + _length_of(partial) - len(partial)
        partial += view[position : position + missing]
        return position + missing if position + missing <= len(view) else -1

    def _cut(self, view: memoryview, position: int) -> Iterator[Frame]:
        end = len(view)
        unpack = _HEADER.unpack_from
        while end - position >= HEADER_SIZE:
            high, low, kind, flags, stream_id = unpack(view, position)
            if high or low > MAX_FRAME_SIZE:
                _length_of(view[position:])
            begin = position + HEADER_SIZE
            if begin + low > end:
                break
            position = begin + low
            if self._block or kind in _OF_A_BLOCK:
                block = self._fragment(
                    kind, flags, stream_id & MAX_STREAM_ID, view[begin - HEADER_SIZE : position]
                )
                if block is not None:
                    yield block
            else:
                yield kind, flags, stream_id & MAX_STREAM_ID, view[begin:position]
        if position < end:
            self._partial += view[position:]

    def _fragment(self, kind: int, flags: int, stream_id: int, frame: memoryview) -> Frame | None:
        """One frame of a header block; the whole block when this was the last."""
        if (kind != CONTINUATION or stream_id != self._block_id) if self._block else kind != HEADERS:
            raise GrpcProtocolError("a header block is interrupted, or continued without a beginning")
        self._block_id = stream_id
        self._block.append(bytes(frame))
        self._block_size += len(frame)
        if len(self._block) > MAX_FRAGMENTS or self._block_size > MAX_HEADER_BLOCK:
            raise GrpcProtocolError("a header block without end", ENHANCE_YOUR_CALM)
        if not flags & END_HEADERS:
            return None
        first, block = self._block[0], b"".join(self._block)
        _check_size_updates(first, self._block[1:])
        self._block, self._block_size = [], 0
        return HEADERS, first[4], stream_id, block


def _length_of(header: bytearray | memoryview) -> int:
    high, low, kind, _, _ = _HEADER.unpack_from(header)
    length = int(high) << 16 | int(low)
    if length > MAX_FRAME_SIZE:
        raise GrpcProtocolError(f"a frame of type {kind} with {length} bytes is too large", FRAME_SIZE_ERROR)
    return length


def _check_size_updates(first: bytes, rest: list[bytes]) -> None:
    """Each costs a decoder about as much as a header and none counts against the size of the list."""
    start = HEADER_SIZE + (1 if first[4] & PADDED else 0) + (5 if first[4] & WITH_PRIORITY else 0)
    block = first[start : start + 32]
    if len(first) < start + 32 and rest:
        block += b"".join(fragment[HEADER_SIZE:] for fragment in rest)[:32]
    if _SIZE_UPDATES.match(block):
        raise GrpcProtocolError("a header block that only changes its table's size", COMPRESSION_ERROR)
