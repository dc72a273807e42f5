"""How often and how much kas reads for agents that apply manifests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kasbah.kit.backoff import BackoffSettings

BACKOFF: Final = BackoffSettings(initial_s=1, maximum_s=300, reset_s=600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """GitLab's defaults, and two bounds of ours."""

    poll_interval_s: float = 300.0
    """How long to wait for a push before looking anyway, in seconds."""
    max_manifest_file_size: int = 5 * 1024 * 1024
    """The largest file, in bytes."""
    max_total_manifest_file_size: int = 20 * 1024 * 1024
    """The largest set of files, in bytes."""
    max_number_of_paths: int = 100
    """The most globs and files that one call names."""
    max_number_of_files: int = 1000
    """The most files of a set."""
    max_calls_per_agent: int = 100
    """The most calls that one agent, all its pods together, has open at a time."""
    max_sets_per_agent: int = 4
    """The most sets that are read for one agent at a time; further ones wait."""
    backoff: BackoffSettings = BACKOFF
    """How to wait while the Git side is away."""
