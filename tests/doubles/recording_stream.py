"""A stream of the tunnel without a tunnel: writes down its orders."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class RecordingStream:
    """What the owner of a stream said on it."""

    stream_id: int = 1
    full: bool = False
    """Whether `send` answers that the queue is full."""
    head: bytes = b""
    data: bytearray = field(default_factory=bytearray)
    ended: bool = False
    reset_with: tuple[int, str] | None = None
    taken: int = 0

    def send_head(self, head: bytes) -> None:
        self.head = head

    def send(self, data: bytes) -> bool:
        self.data += data
        return not self.full

    def end(self) -> None:
        self.ended = True

    def reset(self, code: int, message: str = "") -> None:
        self.reset_with = (int(code), message)

    def consumed(self, count: int) -> None:
        self.taken += count
