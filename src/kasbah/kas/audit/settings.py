"""Whether there is an audit log, and of what."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kasbah.kit.chained_log.settings import ChainedLogSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    directory: Path | None = None
    """Where the log lies, for this kas alone; None: there is none."""
    reads: bool = True
    """Whether requests that change nothing have a record, too."""
    log: ChainedLogSettings = field(default_factory=ChainedLogSettings)
