"""The bytes of exec sessions, as clients and API servers write them: WebSocket frames and SPDY/3.1."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

from kasbah.wire.session_recording.spdy_dictionary import DICTIONARY

KEY = b"\x11\x22\x33\x44"
STREAM_TYPES = {"error": 1, "stdin": 3, "stdout": 5, "stderr": 7, "resize": 9}


def frame(payload: bytes, *, opcode: int = 2, last: bool = True, key: bytes = b"") -> bytes:
    """One WebSocket frame; with a key it is a client's."""
    head = bytes([opcode | (0x80 if last else 0)])
    mask = 0x80 if key else 0
    if len(payload) < 126:
        head += bytes([mask | len(payload)])
    elif len(payload) < 1 << 16:
        head += bytes([mask | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([mask | 127]) + struct.pack("!Q", len(payload))
    if key:
        payload = bytes(byte ^ key[n % 4] for n, byte in enumerate(payload))
    return head + key + payload


def typed(channel: int, data: bytes) -> bytes:
    """A client's message."""
    return frame(bytes([channel]) + data, key=KEY)


def written(channel: int, data: bytes) -> bytes:
    """A cluster's message."""
    return frame(bytes([channel]) + data)


class SpdyClient:
    """A client's end of SPDY: one compression for all its headers."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def block(self, headers: dict[bytes, bytes]) -> bytes:
        plain = struct.pack("!I", len(headers))
        for name, value in headers.items():
            plain += struct.pack("!I", len(name)) + name + struct.pack("!I", len(value)) + value
        return self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def open(self, stream: int, headers: dict[bytes, bytes]) -> bytes:
        """SYN_STREAM."""
        return control(1, struct.pack("!IIH", stream, 0, 0) + self.block(headers))

    def session(self, kinds: Iterable[str] = STREAM_TYPES) -> bytes:
        """The streams of an exec."""
        return b"".join(
            self.open(STREAM_TYPES[kind], {b"streamtype": kind.encode(), b"port": b"80"}) for kind in kinds
        )


def control(kind: int, payload: bytes, *, version: int = 3) -> bytes:
    """A SPDY control frame."""
    return struct.pack("!HH", 0x8000 | version, kind) + struct.pack("!I", len(payload)) + payload


def data(stream: int, payload: bytes) -> bytes:
    """A SPDY data frame."""
    return struct.pack("!I", stream) + struct.pack("!I", len(payload)) + payload
