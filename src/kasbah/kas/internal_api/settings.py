"""Limits of the internal API."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalApiSettings:
    max_connection_age_s: float = 7200.0
    """A connection this old, or up to a tenth younger, is asked to go; its calls may finish."""
    connection_age_grace_s: float = 60.0
    """How long they may take; every call here is answered in seconds."""
    greeting_timeout_s: float = 10.0
    """A connection on which no call was let in for this long is dropped."""
    max_connections: int = 500
    """More are refused: the Git side has a few processes."""
    drain_s: float = 10.0
    """How long running calls may take when the server stops."""
