"""A token bucket: so many at once, so many a second in the long run. Pure: the time comes in as an argument."""

from __future__ import annotations


class TokenBucket:
    """Turns are given in order: whoever takes one is told how long to wait for it, and may rely on it."""

    def __init__(self, rate: float, burst: int) -> None:
        """`rate` is turns a second, more than none; `burst` is how many may be taken at once after a quiet time."""
        self._rate = rate
        self._burst = burst
        self._left = float(burst)
        self._counted_at = float("-inf")

    def take(self, now: float, patience_s: float) -> float | None:
        """Seconds to wait for the next turn, which is then taken; None when that is longer than `patience_s`."""
        if self._rate == float("inf"):
            return 0.0
        left = min(float(self._burst), self._left + (now - self._counted_at) * self._rate)
        wait_s = max(0.0, (1 - left) / self._rate)
        if wait_s > patience_s:
            return None
        self._left, self._counted_at = left - 1, now
        return wait_s
