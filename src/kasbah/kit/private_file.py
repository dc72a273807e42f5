"""Files that hold secrets: private from their first byte, whole or not there at all.

Guarantees: the content never exists under any name with wider rights than asked, readers see the old file or the new
one and nothing between, and after `write` returns the name survives a power cut. Blocking; knows no domain and loads
nothing heavy, because the kubectl credential plugin uses it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644


def write(path: Path, content: bytes, *, mode: int = PRIVATE_MODE) -> None:
    """Replace the file at once; a crash midway leaves the old one (and perhaps a hidden leftover beside it)."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        _write_synced(temporary, content, mode)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    _sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """The directory and its parents, readable by nobody else when we are the ones who make it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _write_synced(path: Path, content: bytes, mode: int) -> None:
    # O_EXCL: nobody can have planted a link under this name. The umask can only take rights away.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
