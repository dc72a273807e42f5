"""Settings of session recordings, with the reasons for their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecordingSettings:
    directory: Path | None = None
    """Where the files are written, `<request id>.cast`; None: nothing is recorded."""
    with_input: bool = False
    """Record what is typed, too: passwords are typed, so it is off."""
    max_file_bytes: int = 64 * 1024 * 1024
    """A recording ends with a marker when its file would grow beyond this; the session goes on."""
    max_waiting_bytes: int = 16 * 1024 * 1024
    """What may wait for a slow disk; a session whose bytes come beyond is recorded no further."""
