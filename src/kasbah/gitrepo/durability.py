"""What "on disk" takes beyond git: the directories.

git with `core.fsync=all` syncs every file it writes but no directory, so after a power cut a new pack or ref may have
no name. After a push, and before the client hears "ok", the directories that the push may have changed are synced
here. Everything in this file blocks and belongs in a thread.

Between the pack's name and the ref's, git syncs only the ref's file. A journalling file system (ext4, xfs, btrfs)
commits the older name with it, so no ref ever points to a pack without a name; on one that keeps no such order, a
power cut may damage a ref whose push was not yet acknowledged.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import Path


def sync_directory_blocking(directory: Path) -> None:
    """Make the names in a directory durable; one that is gone has nothing to say."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_push_blocking(repository: Path, refs: Iterable[bytes]) -> None:
    """Make a push durable whose refs git has accepted; the order is git's: objects first, refs after.

    A deleted ref may have taken empty directories along, and a packed one is written beside HEAD, so each directory
    up to the repository itself is synced.
    """
    for objects in ("objects/pack", "objects"):
        sync_directory_blocking(repository / objects)
    for parent in sorted(_parents(refs), key=len, reverse=True):
        sync_directory_blocking(repository / os.fsdecode(parent))
    sync_directory_blocking(repository)


def write_file_blocking(path: Path, content: bytes) -> None:
    """Replace a file whole: afterwards it is the old one or the new one, and durably so on return."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.new")  # two may replace it at the same moment
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory_blocking(path.parent)


def _parents(refs: Iterable[bytes]) -> set[bytes]:
    parents: set[bytes] = set()
    for ref in refs:
        parts = ref.split(b"/")[:-1]
        if b".." in parts or b"" in parts:
            continue  # git accepts no such ref; whatever said so was not git
        parents.update(b"/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return parents
