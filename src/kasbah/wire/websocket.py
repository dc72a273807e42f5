"""RFC 6455 as a byte pipe: what both tunnels ride on.

A WebSocket carries any byte stream through any proxy; message boundaries mean nothing here. This
engine cuts what arrives into the payload of binary messages and answers pings; it knows no sockets. Compression is
never negotiated. Our own agent masks with the key zero: legal, and no work on either side.

The one thing not done here is unmasking with another key: the server passes a fast function in.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Callable
from typing import Final

from kasbah.errors import PeerError

NATIVE_SUBPROTOCOL: Final = "kasbah.v1"
GRPC_SUBPROTOCOL: Final = "ws-tunnel"

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_MAX_CONTROL_BYTES: Final = 125
MAX_MESSAGE_BYTES: Final = 10 * 1024 * 1024
_ZERO_KEY: Final = b"\0\0\0\0"

GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED_DATA: Final = 1003
MESSAGE_TOO_BIG: Final = 1009

_VIEW_FROM: Final = 16 * 1024
"""Pieces from this size on are not copied out of what was read: their bytes are copied once, by who takes them."""

_MANY_FRAMES: Final = 1000
_TINY_BYTES: Final = 11
"""With the header: of so many at once from somebody who sends whole frames of what is inside, each is larger."""

Unmask = Callable[[bytes | memoryview, bytes], bytes]
"""(data, four-byte key) to the plain bytes."""


class WebSocketError(PeerError):
    """The peer broke RFC 6455."""

    def __init__(self, message: str, close_code: int = PROTOCOL_ERROR) -> None:
        super().__init__(message, retryable=True)
        self.close_code = close_code


def accept_key(key: bytes) -> bytes:
    """The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key` (RFC 6455 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - the RFC's choice, not a secret


def binary_header(length: int, *, masked: bool) -> bytes:
    """The header of one whole binary message; with `masked`, the key zero."""
    bit = 0x80 if masked else 0
    key = _ZERO_KEY if masked else b""
    if length < 126:
        return struct.pack("!BB", 0x80 | _BINARY, bit | length) + key
    if length < 65536:
        return struct.pack("!BBH", 0x80 | _BINARY, bit | 126, length) + key
    return struct.pack("!BBQ", 0x80 | _BINARY, bit | 127, length) + key


def _control(opcode: int, payload: bytes, *, masked: bool) -> bytes:
    bit = 0x80 if masked else 0
    key = _ZERO_KEY if masked else b""
    return struct.pack("!BB", 0x80 | opcode, bit | len(payload)) + key + payload


def close_frame(code: int, reason: str = "", *, masked: bool) -> bytes:
    """A close message; the reason is cut to what fits."""
    return _control(_CLOSE, struct.pack("!H", code) + reason.encode()[:123], masked=masked)


class WebSocketReceiver:
    """The receiving half of one WebSocket: bytes in, payload bytes out.

    Attributes:
        replies: pongs and the answer to a close, to be written and cleared by the owner.
        closed: a close message has arrived; nothing after it is read.
    """

    def __init__(self, *, unmask: Unmask | None) -> None:
        """`unmask` makes this the server's side: every frame must be masked; None: none may be."""
        self._unmask = unmask
        self._masked = unmask is not None
        self._buffer = b""
        self._opcode = _BINARY
        self._remaining = 0
        self._key = _ZERO_KEY
        self._in_message = False
        self._message_bytes = 0
        self.replies: list[bytes] = []
        self.closed = False

    def receive(self, data: bytes) -> list[bytes | memoryview]:
        """Payload pieces of binary messages, in order, as soon as they are here; large ones as views of `data`.

        Raises:
            WebSocketError: text, a wrong mask bit, an extension bit, an over-long message or control frame.
        """
        if self._buffer:
            data = self._buffer + data
        pieces: list[bytes | memoryview] = []
        position, end, frames = 0, len(data), 0
        while position < end and not self.closed:
            if self._remaining == 0 or self._opcode >= _CLOSE:
                frames += 1
                after_header = self._read_header(data, position) if self._remaining == 0 else position
                if after_header < 0:
                    break
                position = after_header
            if self._opcode >= _CLOSE:
                if end - position < self._remaining:
                    break
                self._control_received(bytes(self._plain(data[position : position + self._remaining])))
                position += self._remaining
                self._remaining = 0
                continue
            take = min(self._remaining, end - position)
            if take:
                source = data if take < _VIEW_FROM else memoryview(data)
                pieces.append(self._plain(source[position : position + take]))
                self._remaining -= take
                position += take
        if frames > _MANY_FRAMES and end < frames * _TINY_BYTES:
            raise WebSocketError("too many tiny WebSocket messages at once")
        # A header or a control frame that is not whole yet: at most 139 bytes, or what follows a close.
        self._buffer = b"" if self.closed else data[position:]
        return pieces

    def _read_header(self, data: bytes, position: int) -> int:
        """Take a frame header at `position`; the position after it, or -1 when it is not whole yet."""
        if len(data) - position < 2:
            return -1
        first, second = data[position], data[position + 1]
        length = second & 0x7F
        size = 2 + (2 if length == 126 else 8 if length == 127 else 0) + (4 if second & 0x80 else 0)
        if len(data) - position < size:
            return -1
        if length == 126:
            (length,) = struct.unpack_from("!H", data, position + 2)
        elif length == 127:
            (length,) = struct.unpack_from("!Q", data, position + 2)
        if bool(second & 0x80) != self._masked:
            raise WebSocketError("a WebSocket frame has the wrong mask bit")
        self._key = data[position + size - 4 : position + size] if self._masked else _ZERO_KEY
        self._begin_frame(first, length)
        return position + size

    def _begin_frame(self, first: int, length: int) -> None:
        final, opcode = bool(first & 0x80), first & 0x0F
        if first & 0x70:
            raise WebSocketError("a WebSocket frame uses an extension nobody negotiated")
        if opcode >= _CLOSE:
            if opcode > _PONG or not final or length > _MAX_CONTROL_BYTES:
                raise WebSocketError("a malformed WebSocket control frame")
        elif opcode == _TEXT:
            raise WebSocketError("a text message in a byte stream", UNSUPPORTED_DATA)
        elif (opcode == _CONTINUATION) != self._in_message or opcode > _BINARY:
            raise WebSocketError("a WebSocket message is fragmented wrongly")
        else:
            self._message_bytes = length + (self._message_bytes if opcode == _CONTINUATION else 0)
            if self._message_bytes > MAX_MESSAGE_BYTES:
                raise WebSocketError("a WebSocket message is over 10 MiB", MESSAGE_TOO_BIG)
            self._in_message = not final
        self._opcode, self._remaining = opcode, length

    def _plain(self, data: bytes | memoryview) -> bytes | memoryview:
        if self._key == _ZERO_KEY or self._unmask is None or not data:
            return data
        plain = self._unmask(data, self._key)
        turn = len(data) % 4  # the next piece of this frame starts in the middle of the key
        self._key = self._key[turn:] + self._key[:turn]
        return plain

    def _control_received(self, payload: bytes) -> None:
        answer_masked = not self._masked
        if self._opcode == _PING:
            self.replies.append(_control(_PONG, payload, masked=answer_masked))
            if len(self.replies) > 64:
                raise WebSocketError("too many WebSocket pings at once")
        elif self._opcode == _CLOSE:
            self.closed = True
            self.replies.append(_control(_CLOSE, payload[:2], masked=answer_masked))


def upgrade_response(key: bytes, subprotocol: str | None, server: str) -> bytes:
    """The server's half of the handshake: a whole 101 head."""
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept_key(key),
    ]
    if subprotocol:
        lines.append(b"Sec-WebSocket-Protocol: " + subprotocol.encode())
    lines.append(b"Server: " + server.encode())
    return b"\r\n".join(lines) + b"\r\n\r\n"
