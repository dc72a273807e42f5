"""How often and how much kas reads for agents' configurations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kasbah.kas.agent_configuration import reader
from kasbah.kit.backoff import BackoffSettings

BACKOFF: Final = BackoffSettings(initial_s=1, maximum_s=60, reset_s=120)
"""While the Git side is away. GitLab starts at 10 s; we start sooner, so that a restart is hardly noticed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """GitLab's defaults."""

    poll_interval_s: float = 300.0
    """How long to wait for a push before looking anyway, in seconds."""
    max_configuration_file_size: int = reader.DEFAULT_MAX_BYTES
    """The largest configuration file, in bytes."""
    gitlab_external_url: str = ""
    """Where people reach the Git side; agentk is told once and never another one."""
    backoff: BackoffSettings = BACKOFF
    """How to wait while the Git side is away."""
