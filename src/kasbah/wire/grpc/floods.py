"""Counting what a peer may do cheaply but we can not: so much in ten seconds, then the connection ends."""

from __future__ import annotations

from typing import Final

from kasbah.wire.grpc.frames import ENHANCE_YOUR_CALM, GrpcProtocolError
from kasbah.wire.grpc.limits import GrpcLimits

PERIOD_S: Final = 10.0
LATE_FRAMES_PER_CALL: Final = 32
"""What may still be under way for each call when it ends."""
_HEADERS_COST: Final = 10
"""As many frames as decompressing headers costs."""


class Floods:
    """The counters of one connection.

    Most count one thing and raise `GrpcProtocolError` (ENHANCE_YOUR_CALM) when there were too many.
    """

    __slots__ = ("_began", "_idle", "_inflated", "_pings", "_resets", "_settings", "limits")

    def __init__(self, limits: GrpcLimits) -> None:
        self.limits = limits
        """May change at any time."""
        self._began = 0.0
        self._resets = self._pings = self._settings = self._idle = self._inflated = 0

    def tick(self, now: float) -> None:
        """A period that is over is forgotten; `now` is monotonic, in seconds."""
        if now - self._began >= PERIOD_S:
            self._began = now
            self._resets = self._pings = self._settings = self._inflated = 0
            self._idle = min(self._idle, 0)

    def reset(self) -> None:
        """A call that cost us work and gave the peer nothing to wait for."""
        self._resets += 1
        if self._resets > self.limits.max_resets:
            raise _flood("calls opened and reset at once")

    def refused(self) -> None:
        """A call that ends with an error as its whole answer; counted as `reset` is, and the next call is one too many."""
        self._resets += 1

    def call_opened(self) -> None:
        """The peer opens a call."""
        if self._resets > self.limits.max_resets:
            raise _flood("calls refused")

    def inflating(self, size: int) -> bool:
        """So many bytes came out of a decompressor; whether there may be more. Costs the call, not the connection."""
        self._inflated += size
        return self._inflated < self.limits.max_inflated_bytes

    def ping(self) -> None:
        self._pings += 1
        if self._pings > self.limits.max_pings:
            raise _flood("PINGs")

    def settings(self) -> None:
        self._settings += 1
        if self._settings > self.limits.max_settings:
            raise _flood("SETTINGS")

    def idle(self) -> None:
        """A frame that does nothing."""
        self._idle += 1
        if self._idle > self.limits.max_idle_frames:
            raise _flood("frames that do nothing")

    def late_headers(self) -> None:
        """Headers of a call that is over: nobody wants them, but they must be decompressed."""
        self._idle += _HEADERS_COST - 1
        self.idle()

    def call_over(self) -> None:
        """What the peer sent before it knew is no flood."""
        if self._idle > -self.limits.max_idle_frames:
            self._idle -= LATE_FRAMES_PER_CALL


def _flood(of: str) -> GrpcProtocolError:
    return GrpcProtocolError(f"too many {of}", ENHANCE_YOUR_CALM)
