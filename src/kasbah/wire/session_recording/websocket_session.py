"""A session over a WebSocket: each message begins with the number of its channel (`v5.channel.k8s.io` and before).

Payloads are passed on as they come and never collected, so a message may be of any size.
"""

from __future__ import annotations

from typing import Final

from kasbah.wire.session_recording.channels import (
    FROM_CLIENT,
    FROM_CLUSTER,
    Channel,
    Hear,
    NotFollowedError,
)

PROTOCOLS: Final = frozenset(
    {
        b"",
        b"channel.k8s.io",
        b"v2.channel.k8s.io",
        b"v3.channel.k8s.io",
        b"v4.channel.k8s.io",
        b"v5.channel.k8s.io",
    }
)
"""Subprotocols whose messages are read here; the ones in Base64 are not."""
_CHANNELS: Final = {0: Channel.STDIN, 1: Channel.STDOUT, 2: Channel.STDERR, 4: Channel.RESIZE}
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_MAX_CONTROL_BYTES: Final = 125


class WebSocketSession:
    """Follows both directions of one connection, from the first byte after the 101."""

    def __init__(self, hear: Hear, *, with_input: bool) -> None:
        from_client = FROM_CLIENT if with_input else FROM_CLIENT - {Channel.STDIN}
        self._client = _Direction(hear, from_client, masked=True)
        self._cluster = _Direction(hear, FROM_CLUSTER, masked=False)

    def from_client(self, data: bytes) -> None:
        """Raises NotFollowedError: the bytes are no WebSocket of this kind."""
        self._client.feed(data)

    def from_cluster(self, data: bytes) -> None:
        """Raises NotFollowedError: the bytes are no WebSocket of this kind."""
        self._cluster.feed(data)


class _Direction:
    def __init__(self, hear: Hear, wanted: frozenset[Channel], *, masked: bool) -> None:
        self._hear = hear
        self._wanted = wanted
        self._masked = masked
        self._head = bytearray()
        self._left = 0
        """Bytes of the frame's payload still to come."""
        self._control = False
        self._last = True
        """The frame ends its message."""
        self._within = False
        """A message has begun and not ended."""
        self._at_first_byte = False
        self._channel: Channel | None = None
        self._key = b""
        self._closed = False

    def feed(self, data: bytes) -> None:
        at = 0
        while at < len(data) and not self._closed:
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                self._payload(piece)
            else:
                self._head.append(data[at])
                at += 1
                if len(self._head) >= 2 and len(self._head) == self._head_bytes():
                    self._begin()

    def _head_bytes(self) -> int:
        short = self._head[1] & 0x7F
        return 2 + {126: 2, 127: 8}.get(short, 0) + (4 if self._head[1] & 0x80 else 0)

    def _begin(self) -> None:
        """A frame's head is complete."""
        head, self._head = self._head, bytearray()
        opcode, short = head[0] & 0x0F, head[1] & 0x7F
        if head[0] & 0x70 or bool(head[1] & 0x80) != self._masked:
            raise NotFollowedError("a WebSocket frame is compressed, or masked the wrong way")
        self._key = bytes(head[-4:]) if self._masked else b""
        self._left = short if short < 126 else int.from_bytes(head[2 : 4 if short == 126 else 10], "big")
        self._control = opcode >= _CLOSE
        if self._control:
            if opcode > _PONG or self._left > _MAX_CONTROL_BYTES or not head[0] & 0x80:
                raise NotFollowedError("a WebSocket control frame breaks the rules")
            self._closed = opcode == _CLOSE
            return
        if opcode > _BINARY or (opcode == _CONTINUATION) != self._within or self._left >= 1 << 63:
            raise NotFollowedError("a WebSocket frame is out of place")
        if opcode != _CONTINUATION:
            self._at_first_byte, self._channel = True, None
        self._within = not head[0] & 0x80

    def _payload(self, piece: bytes) -> None:
        if self._control:
            return
        if self._at_first_byte:
            self._at_first_byte = False
            number = self._plain(piece[:1])[0]
            channel = _CHANNELS.get(number)
            self._channel = channel if channel in self._wanted else None
            piece = piece[1:]
        if self._channel is not None and piece:
            self._hear(self._channel, self._plain(piece))
        else:
            self._turn(len(piece))

    def _plain(self, piece: bytes) -> bytes:
        """Without the mask, which goes on where it stopped."""
        if not self._key:
            return piece
        mask = (self._key * (len(piece) // 4 + 1))[: len(piece)]
        self._turn(len(piece))
        return (int.from_bytes(piece, "big") ^ int.from_bytes(mask, "big")).to_bytes(len(piece), "big")

    def _turn(self, count: int) -> None:
        turn = count % 4
        self._key = self._key[turn:] + self._key[:turn]
