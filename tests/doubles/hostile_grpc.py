"""A peer that speaks HTTP/2 without manners: frames by hand, over plain TCP, TLS or in a WebSocket.

Blocking sockets: a test calls it in threads, so that what it says costs the loop of kas nothing but what kas does. A
thread of its own reads, unless it shall not; what was read is cut into frames when somebody asks.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Iterable
from typing import Final, Literal

from hpack import Decoder

from kasbah.wire.rpc import prefixed
from kasbah.wire.websocket import WebSocketReceiver, binary_header

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
Face = Literal["plain", "tls", "websocket", "secure websocket"]
Fields = Iterable[tuple[bytes | str, bytes | str]]


def frame(kind: int, stream_id: int = 0, payload: bytes = b"", flags: int = 0) -> bytes:
    return len(payload).to_bytes(3) + struct.pack("!BBL", kind, flags, stream_id) + payload


def literal(name: bytes | str, value: bytes | str) -> bytes:
    """A header field as HPACK's plainest: a literal without indexing and without Huffman's code."""
    return b"\0" + _string(name) + _string(value)


def indexed(name: bytes | str, value: bytes | str) -> bytes:
    """The same, and remembered by the decoder."""
    return b"\x40" + _string(name) + _string(value)


def _string(text: bytes | str) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    if len(raw) < 127:
        return bytes((len(raw),)) + raw
    rest, more = len(raw) - 127, b"\x7f"
    while rest >= 128:
        more += bytes((rest & 127 | 128,))
        rest >>= 7
    return more + bytes((rest,)) + raw


def block(path: str, token: str | None, *fields: tuple[bytes | str, bytes | str]) -> bytes:
    """The header block of a call; without `token` it shows none."""
    shown = [("authorization", f"Bearer {token}")] if token is not None else []
    return b"".join(
        literal(name, value)
        for name, value in [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            ("content-type", "application/grpc"),
            *shown,
            *fields,
        ]
    )


def headers(stream_id: int, header_block: bytes, *, end: bool = False) -> bytes:
    """One HEADERS with the whole block."""
    return frame(HEADERS, stream_id, header_block, END_HEADERS | (END_STREAM if end else 0))


def data(stream_id: int, *messages: bytes, end: bool = False) -> bytes:
    """DATA with these messages, each with its prefix."""
    payload = b"".join(map(prefixed, messages))
    pieces = [payload[start : start + 16384] for start in range(0, len(payload), 16384)] or [b""]
    return b"".join(
        frame(DATA, stream_id, piece, END_STREAM if end and index == len(pieces) - 1 else 0)
        for index, piece in enumerate(pieces)
    )


class HostileGrpc:
    """One connection to `127.0.0.1:port`.

    Attributes:
        closed: the other side has hung up.
    """

    def __init__(self, port: int, face: Face = "plain", *, reads: bool = True, alpn: str = "h2") -> None:
        self.closed = threading.Event()
        self._socket: socket.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._websocket = "websocket" in face
        if face in {"tls", "secure websocket"}:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["http/1.1" if self._websocket else alpn])
            self._socket = context.wrap_socket(self._socket)
        self._heard = bytearray()
        self._frames: list[tuple[int, int, int, bytes]] = []
        self._cut = 0
        self._receiver = WebSocketReceiver(unmask=None) if self._websocket else None
        if self._websocket:
            self._upgrade()
        self._thread = threading.Thread(target=self._read_on, daemon=True)
        if reads:
            self._thread.start()

    def _upgrade(self) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /-/kubernetes-agent/ HTTP/1.1",
            "Host: kas",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Protocol: ws-tunnel",
        ]
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._socket.recv(1)
        assert head.startswith(b"HTTP/1.1 101"), head

    def greet(self, settings: bytes = b"") -> None:
        """HTTP/2's preface and SETTINGS; the connection's window is opened for a gigabyte."""
        wide = frame(WINDOW, payload=(1 << 30).to_bytes(4))
        self.say(PREFACE + frame(SETTINGS, payload=settings) + frame(SETTINGS, flags=ACK) + wide)

    def say(self, raw: bytes) -> bool:
        """Whether the other side took it."""
        if self._websocket:
            for start in range(0, len(raw), 1 << 20):
                piece = raw[start : start + (1 << 20)]
                if not self.say_raw(binary_header(len(piece), masked=True) + piece):
                    return False
            return True
        return self.say_raw(raw)

    def say_raw(self, raw: bytes) -> bool:
        """Below the WebSocket."""
        try:
            self._socket.sendall(raw)
        except OSError:
            return False
        return True

    async def hung_up(self, seconds: float = 5) -> bool:
        """Wait until the other side has hung up."""
        return await asyncio.to_thread(self.closed.wait, seconds)

    def end(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._thread.is_alive():
            self._thread.join(10)

    def _read_on(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while raw := self._socket.recv(1 << 18):
                pieces = [raw] if self._receiver is None else self._receiver.receive(raw)
                self._heard += b"".join(pieces)
        self.closed.set()

    # -- what was heard ------------------------------------------------------------------------------------------

    @property
    def bytes_heard(self) -> int:
        """How many so far, out of the WebSocket."""
        return len(self._heard)

    def frames(self) -> list[tuple[int, int, int, bytes]]:
        """Kind, flags, stream, payload of all whole frames so far."""
        heard = self._heard
        while len(heard) - self._cut >= 9:
            length = int.from_bytes(heard[self._cut : self._cut + 3])
            begin, end = self._cut + 9, self._cut + 9 + length
            if len(heard) < end:
                break
            kind, flags, stream_id = struct.unpack("!BBL", heard[begin - 6 : begin])
            self._frames.append((kind, flags, stream_id, bytes(heard[begin:end])))
            self._cut = end
        return self._frames

    @property
    def goaways(self) -> list[tuple[int, str]]:
        """Error code and text of each GOAWAY."""
        return [
            (int.from_bytes(payload[4:8]), payload[8:].decode(errors="replace"))
            for kind, _, _, payload in self.frames()
            if kind == GOAWAY
        ]

    def resets(self) -> dict[int, int]:
        """Error code of each stream that was reset."""
        return {
            stream_id: int.from_bytes(payload) for kind, _, stream_id, payload in self.frames() if kind == RST
        }

    def answers(self) -> dict[int, dict[str, str]]:
        """The header fields, trailers among them, by stream."""
        found: dict[int, dict[str, str]] = {}
        decoder = Decoder()
        for kind, _, stream_id, payload in self.frames():
            if kind == HEADERS:
                fields = decoder.decode(payload, raw=True)
                found.setdefault(stream_id, {}).update((n.decode(), v.decode()) for n, v in fields)
        return found

    def statuses(self) -> dict[int, int]:
        """The gRPC status of each call that has one."""
        answers = self.answers().items()
        return {stream_id: int(a["grpc-status"]) for stream_id, a in answers if "grpc-status" in a}

    def messages(self, stream_id: int) -> list[bytes]:
        """The messages heard on a stream, without their prefixes."""
        raw = b"".join(payload for kind, _, sid, payload in self.frames() if (kind, sid) == (DATA, stream_id))
        found = []
        while len(raw) >= 5:
            length = int.from_bytes(raw[1:5])
            found.append(raw[5 : 5 + length])
            raw = raw[5 + length :]
        return found


@contextlib.asynccontextmanager
async def hostile(
    port: int, face: Face = "plain", *, greets: bool = True, reads: bool = True, settings: bytes = b""
) -> AsyncIterator[HostileGrpc]:
    """A connection, hung up at the end."""
    peer = await asyncio.to_thread(HostileGrpc, port, face, reads=reads)
    try:
        if greets:
            peer.greet(settings)
        yield peer
    finally:
        await asyncio.to_thread(peer.end)
