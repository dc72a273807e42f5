"""The transport of an upstream connection, without a socket: writes down what it was told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass
class UpstreamTransport(asyncio.Transport):
    """What a protocol said to its transport."""

    tls: bool = False
    written: bytearray = field(default_factory=bytearray)
    reading: bool = True
    eof_written: bool = False
    aborted: bool = False
    high_water: int | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def take(self) -> bytes:
        """What was written since the last look."""
        taken = bytes(self.written)
        self.written.clear()
        return taken

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high_water = high

    def can_write_eof(self) -> bool:
        return not self.tls

    def write_eof(self) -> None:
        self.eof_written = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted
