"""Bare repositories as directories: made whole or not at all, removed at once.

The skeleton is written here rather than by `git init`: it is two files and four directories, and each must be synced
before the directory gets its name. Everything in this file blocks and belongs in a thread.
"""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import Final

from kasbah.gitrepo.branch_name import check_branch_name
from kasbah.gitrepo.configuration import render_file
from kasbah.gitrepo.durability import sync_directory_blocking, write_file_blocking
from kasbah.gitrepo.settings import GitSettings

_DIRECTORIES: Final = ("objects", "objects/info", "objects/pack", "refs", "refs/heads", "refs/tags")


def create_blocking(path: Path, default_branch: str, settings: GitSettings) -> None:
    """Make an empty repository at `path`, durable on return.

    What already lies there is moved aside and removed. Killed half-way, nothing is at `path`, or all of it.
    """
    check_branch_name(default_branch)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}.draft")
    draft.mkdir(mode=0o750)
    for directory in _DIRECTORIES:
        (draft / directory).mkdir(mode=0o750)
    write_file_blocking(draft / "config", render_file(settings).encode())
    write_file_blocking(draft / "HEAD", f"ref: refs/heads/{default_branch}\n".encode())
    for directory in (*reversed(_DIRECTORIES), "."):
        sync_directory_blocking(draft / directory)
    remove_blocking(path)
    draft.rename(path)
    _sync_upwards(path.parent)


def remove_blocking(path: Path) -> None:
    """Remove a repository: its name first and durably, its bytes after; an absent one is fine."""
    grave = path.with_name(f"{path.name}.{uuid.uuid4().hex}.removed")
    try:
        path.rename(grave)
    except FileNotFoundError:
        return
    sync_directory_blocking(path.parent)
    shutil.rmtree(grave, ignore_errors=True)


def sweep_blocking(directory: Path) -> int:
    """Remove the drafts and removed repositories that a kill left in `directory`; how many there were."""
    left_over = [*directory.glob("*.draft"), *directory.glob("*.removed")]
    for path in left_over:
        shutil.rmtree(path, ignore_errors=True)
    return len(left_over)


def set_default_branch_blocking(path: Path, branch: str) -> None:
    """Point HEAD at a branch, durably."""
    check_branch_name(branch)
    write_file_blocking(path / "HEAD", f"ref: refs/heads/{branch}\n".encode())


def _sync_upwards(directory: Path) -> None:
    # The directory and its parents may all be new; two levels are ours (the shard and the root).
    for level in (directory, *list(directory.parents)[:2]):
        sync_directory_blocking(level)


def remove_stale_blocking(path: Path, *, older_than: float) -> int:
    """Remove the ref locks and the quarantines that nobody can hold any more; how many there were.

    git removes its own however it ends, but for a power cut or SIGKILL. A lock that stays would refuse every push to
    its ref for ever. What is older than any git process of ours may live has no holder.
    """
    # Not rglob: it raises when git removes an empty directory under its feet.
    in_refs = (Path(directory, name) for directory, _, names in os.walk(path / "refs") for name in names)
    locks = [*path.glob("*.lock"), *(found for found in in_refs if found.suffix == ".lock")]
    stale = [lock for lock in locks if _modified(lock) < older_than]
    for lock in stale:
        lock.unlink(missing_ok=True)
    quarantines = [
        found for found in (path / "objects").glob("tmp_objdir-*") if _modified(found) < older_than
    ]
    for quarantine in quarantines:
        shutil.rmtree(quarantine, ignore_errors=True)
    return len(stale) + len(quarantines)


def _modified(path: Path) -> float:
    try:
        return os.lstat(path).st_mtime
    except FileNotFoundError:
        return float("inf")  # its holder has just removed it
