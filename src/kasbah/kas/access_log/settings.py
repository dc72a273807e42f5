"""Where the access log goes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLogSettings:
    file: str = ""
    """A path, or `-` for stdout; empty: there is none. A file that was moved away is begun anew within a second."""
    max_waiting_bytes: int = 8 * 1024 * 1024
    """What may wait to be written; lines beyond are dropped and counted."""
