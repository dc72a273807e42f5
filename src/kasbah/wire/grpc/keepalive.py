"""Whether the peer is still there: after a silence a PING, and after no answer to it the end."""

from __future__ import annotations

from typing import Final

from kasbah.wire.grpc.frames import NO_ERROR, GrpcProtocolError

KEEPALIVE_PING: Final = b"keepaliv"


class KeepAlive:
    """One connection's; told the time, and of everything that arrives."""

    __slots__ = ("_after_s", "_heard_at", "_pinged_at", "_timeout_s", "heard")

    def __init__(self, after_s: float, timeout_s: float) -> None:
        self._after_s = after_s
        self._timeout_s = timeout_s
        self.heard = False
        """Set by the owner when bytes arrive."""
        self._heard_at: float | None = None
        self._pinged_at: float | None = None

    def tick(self, now: float) -> bool:
        """Whether a PING is due; `now` is monotonic, in seconds.

        Raises:
            GrpcProtocolError: nothing was heard since the last PING for too long.
        """
        if self.heard or self._heard_at is None:
            self.heard = False
            self._heard_at = now
            self._pinged_at = None
        elif self._pinged_at is not None:
            if now - self._pinged_at > self._timeout_s:
                raise GrpcProtocolError("timeout: the peer is silent, no answer to a ping", NO_ERROR)
        elif now - self._heard_at >= self._after_s:
            self._pinged_at = now
            return True
        return False
