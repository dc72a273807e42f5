"""Where the sandbox keeps things on this machine; the only file of it that reads the environment for that.

The cache holds the built binaries and outlives everything; `clusters()` holds one directory a running cluster, gone when
the cluster is.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from sandbox.errors import CannotRunError


def cache() -> Path:
    """The user's cache of the sandbox, `$XDG_CACHE_HOME/kasbah/sandbox` (by default below ~/.cache)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "kasbah" / "sandbox"


def clusters() -> Path:
    """The directory of the running clusters of this user: short, because Unix sockets live below it."""
    directory = Path(tempfile.gettempdir()) / f"kasbah-sandbox-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    _refuse_a_trap(directory)
    return directory


def _refuse_a_trap(directory: Path) -> None:
    """In a directory that everybody may write to, somebody else may have been first."""
    found = directory.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    if not ours:
        message = f"{directory} belongs to somebody else or is open to others; remove it and start again"
        raise CannotRunError(message)
