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
    """Connections of one agent; more are refused, so a stolen token cannot crowd the real pods out. Those that take nothing
    new have as many places again."""
    max_tunnels_per_pod: int = 500
    """Tunnels one pod may hold open over gRPC, where each carries one request: as many as GitLab's agentk opens."""
    max_connection_age_s: float = 7200.0
    """A connection this old, less up to a tenth by chance, takes nothing new, and its pod connects again: so agents spread
    over what was added behind a load balancer."""
    connection_age_grace_s: float = 3600.0
    """How long what runs on a connection may go on after that, in seconds."""
    drain_timeout_s: float = 30.0
    """How long running streams may go on after a drain began, in seconds."""
