"""How much an agent's modules may ask of the Git side through kas."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    max_request_bytes: int = 16 * 1024 * 1024
    """The largest body of a request, in bytes."""
    max_response_bytes: int = 64 * 1024 * 1024
    """The largest body of a response, in bytes."""
    idle_timeout_s: float = 60.0
    """How long kas waits for the next piece of a request, in seconds."""
    deadline_s: float = 600.0
    """How long a request and its answer may take together, in seconds."""
    max_requests_per_agent: int = 10
    """How many requests one agent, all its pods together, has at a time."""
    max_requests: int = 50
    """How many requests all agents have at a time: kas asks the Git side for its own sake over the same connections."""
