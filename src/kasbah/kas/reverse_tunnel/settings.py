"""Settings of the tunnels kas accepts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseTunnelSettings:
    greeting_timeout_s: float = 10.0
    """From the handshake to an authenticated agent, in seconds; silent connections cost nothing longer."""
    token_check_interval_s: float = 5.0
    """How often the token of every connected pod is checked again: a revoked one is cut off within ten seconds."""
    max_pods_per_agent: int = 20
    """Connections of one agent; more are refused, so a stolen token cannot crowd the real pods out."""
    drain_timeout_s: float = 30.0
    """How long running streams may go on after a drain began, in seconds."""
