"""How much kas asks the Git side, and how long it believes an answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HubClientSettings:
    agent_info_ttl_s: float = 5.0
    """How long the agent behind a token is remembered: so much longer, at most, a revoked token works."""
    agent_info_refused_ttl_s: float = 2.0
    """How long a token is remembered to be wrong: short, because people repair and try again."""
    calls_per_s: float = float("inf")
    """Calls a second in the long run, tries again included; a call waits for its turn within its deadline."""
    calls_at_once: int = 250
    """Calls that may go at once after a quiet time."""
