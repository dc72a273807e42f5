"""How much an agent's Flux may watch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kasbah.kit.backoff import BackoffSettings

BACKOFF: Final = BackoffSettings(initial_s=1, maximum_s=60, reset_s=120)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    max_projects: int = 1000
    """The most projects that one call watches."""
    max_calls_per_agent: int = 20
    """The most calls that one agent, all its pods together, has open at a time."""
    backoff: BackoffSettings = BACKOFF
    """How to wait while the Git side cannot say whether the agent may hear of a push."""
