"""How large the files of a chained log grow, and how far it may run ahead of the disk."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainedLogSettings:
    segment_bytes: int = 16 * 1024 * 1024
    """A segment this large is followed by a new one. At opening the last is read: about 0.1 s for so much."""
    keep_bytes: int = 16 * 1024 * 1024 * 1024
    """Above this the oldest segments are removed, and a record says so; 0: nothing is ever removed."""
    max_unsynced_bytes: int = 64 * 1024 * 1024
    """When more than this waits for the disk, nothing is taken any more."""
    max_sync_s: float = 10.0
    """When the disk has been silent for this long, nothing is taken any more."""
    sync_interval_s: float = 1.0
    """What nobody waits for is on the disk after this time."""
