"""How long a leader may be silent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderElectionSettings:
    lease_duration_s: int = 15
    """So long the others wait after they last saw the lease change, in seconds."""
    renew_deadline_s: float = 10.0
    """A leader that could not renew for so long stops leading, in seconds; shorter than the lease."""
    retry_s: float = 2.0
    """Between two attempts to get or to renew the lease, in seconds."""
