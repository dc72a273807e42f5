"""Back-off: how long to wait before trying again.

One vocabulary for every loop: B(initial, maximum, reset, factor, jitter). Pure: the time and
the randomness come in as arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class BackoffSettings:
    initial_s: float
    """The first delay, in seconds."""
    maximum_s: float
    """The longest delay before jitter, in seconds."""
    reset_s: float
    """After this long without a failure the delay starts over, in seconds."""
    factor: float = 2.0
    """Each delay is the last times this."""
    jitter: float = 1.0
    """Each delay is multiplied by 1 + random * jitter, so that a crowd does not come back in step."""


TUNNEL = BackoffSettings(initial_s=0.1, maximum_s=20, reset_s=25, factor=1.4, jitter=0.5)
"""Re-dialling kas: GitLab starts at 1 s; we start sooner and grow slower, so a restarted kas waits for an agent about a
fifth of the time that it was away, and hardly ever two thirds."""
CONTROL = BackoffSettings(initial_s=1, maximum_s=300, reset_s=600)
"""Calls over a tunnel that is up: configuration, registration."""


@dataclass(slots=True)
class Backoff:
    """The delays of one loop."""

    settings: BackoffSettings
    _delay_s: float = 0.0
    _failed_at: float = field(default=float("-inf"))

    def failed(self, now: float, random: float) -> float:
        """Seconds to wait after a failure at `now`; `random` is uniform in [0, 1)."""
        settings = self.settings
        if now - self._failed_at > settings.reset_s + self._delay_s or self._delay_s == 0:
            self._delay_s = settings.initial_s
        else:
            self._delay_s = min(self._delay_s * settings.factor, settings.maximum_s)
        self._failed_at = now
        return self._delay_s * (1 + random * settings.jitter)
