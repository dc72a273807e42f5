"""Directories that a push may have changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kasbah.gitrepo import durability


@pytest.fixture
def synced(monkeypatch) -> list[str]:
    """The directories synced, in order."""
    found: list[str] = []

    def note(descriptor: int) -> None:
        found.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr(durability.os, "fsync", note)
    return found


def make(repository: Path, *directories: str) -> None:
    for directory in directories:
        (repository / directory).mkdir(parents=True)


def test_objects_come_before_refs_and_deep_directories_before_shallow_ones(tmp_path, synced):
    make(tmp_path, "objects/pack", "refs/heads/feature", "refs/tags")
    durability.sync_push_blocking(tmp_path, [b"refs/heads/feature/a", b"refs/heads/main"])
    relative = [os.path.relpath(directory, tmp_path) for directory in synced]
    assert relative == ["objects/pack", "objects", "refs/heads/feature", "refs/heads", "refs", "."]


def test_a_directory_that_went_with_its_last_ref_is_passed_over(tmp_path, synced):
    make(tmp_path, "objects/pack", "refs/heads")
    durability.sync_push_blocking(tmp_path, [b"refs/heads/gone/branch"])
    assert str(tmp_path / "refs/heads") in synced


def test_a_ref_that_git_would_never_accept_leads_nowhere(tmp_path, synced):
    make(tmp_path, "inside/objects/pack")
    durability.sync_push_blocking(tmp_path / "inside", [b"refs/../../x", b"/etc/x", b"main"])
    assert {Path(directory).name for directory in synced} == {"pack", "objects", "inside"}


def test_a_file_is_replaced_whole_and_leaves_no_draft(tmp_path):
    target = tmp_path / "HEAD"
    target.write_bytes(b"old")
    durability.write_file_blocking(target, b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("HEAD", b"new")]
