"""A clock that is read on the hot path and moved by one timer: right to the server's tick, and free to ask."""

from __future__ import annotations

from email.utils import formatdate


class CoarseClock:
    """Monotonic seconds, and the `Date` header of this moment."""

    __slots__ = ("date", "now")

    def __init__(self, now: float, wall: float) -> None:
        self.now = now
        self.date = b""
        self.tick(now, wall)

    def tick(self, now: float, wall: float) -> None:
        """Move on to this monotonic time and this wall-clock time."""
        self.now = now
        self.date = b"Date: %b\r\n" % formatdate(wall, usegmt=True).encode()
