"""How much kas asks the Git side, and how long it believes what was answered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HubClientSettings:
    """Times in seconds. A refusal is remembered too: an agent that asks in a loop is no load for the Git side."""

    agent_info_ttl_s: float = 5.0
    """How long an agent token stays good without asking again; so much longer works a revoked one."""
    agent_info_error_ttl_s: float = 2.0
    """How long an agent token stays refused."""
    project_info_ttl_s: float = 60.0
    """How long an agent's right to read a project's repository stays."""
    project_info_error_ttl_s: float = 10.0
    """How long its refusal stays."""
    project_access_ttl_s: float = 300.0
    """How long an agent's right to hear of pushes to a project stays."""
    project_access_error_ttl_s: float = 60.0
    """How long its refusal stays."""
    calls_per_s: float = float("inf")
    """Calls a second in the long run, tries again included; a call waits for its turn within its deadline."""
    calls_at_once: int = 250
    """Calls that may go at once after a quiet time."""
