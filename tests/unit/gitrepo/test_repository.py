"""Repositories as directories."""

from __future__ import annotations

import os

import pytest

from kasbah.gitrepo import reading, repository
from kasbah.gitrepo.branch_name import BadBranchNameError
from kasbah.gitrepo.settings import GitSettings

SETTINGS = GitSettings()


def test_a_new_repository_is_empty_and_knows_its_branch(tmp_path):
    repository.create_blocking(tmp_path / "007/7.git", "trunk", SETTINGS)
    head = reading.head_blocking(tmp_path / "007/7.git")
    assert (head.default_branch, head.commit_id) == ("trunk", None)
    assert [path.name for path in (tmp_path / "007").iterdir()] == ["7.git"]


def test_there_are_no_hooks(tmp_path):
    repository.create_blocking(tmp_path / "7.git", "main", SETTINGS)
    assert not (tmp_path / "7.git/hooks").exists()


def test_what_a_crash_left_at_the_same_number_is_replaced(tmp_path):
    repository.create_blocking(tmp_path / "7.git", "old", SETTINGS)
    (tmp_path / "7.git/left-over").write_bytes(b"")
    repository.create_blocking(tmp_path / "7.git", "main", SETTINGS)
    assert not (tmp_path / "7.git/left-over").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["7.git"]


def test_removing_leaves_nothing_and_may_be_repeated(tmp_path):
    repository.create_blocking(tmp_path / "7.git", "main", SETTINGS)
    repository.remove_blocking(tmp_path / "7.git")
    repository.remove_blocking(tmp_path / "7.git")
    assert list(tmp_path.iterdir()) == []


def test_drafts_and_half_removed_repositories_are_swept(tmp_path):
    repository.create_blocking(tmp_path / "7.git", "main", SETTINGS)
    (tmp_path / "8.git.abc.draft").mkdir()
    (tmp_path / "9.git.abc.removed").mkdir()
    assert repository.sweep_blocking(tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["7.git"]


def test_a_repository_is_not_made_with_a_branch_git_refuses(tmp_path):
    with pytest.raises(BadBranchNameError):
        repository.create_blocking(tmp_path / "7.git", "a..b", SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_the_default_branch_is_set(tmp_path):
    repository.create_blocking(tmp_path / "7.git", "main", SETTINGS)
    repository.set_default_branch_blocking(tmp_path / "7.git", "trunk")
    assert reading.head_blocking(tmp_path / "7.git").default_branch == "trunk"


def test_old_locks_and_quarantines_go_and_young_ones_stay(tmp_path):
    path = tmp_path / "7.git"
    repository.create_blocking(path, "main", SETTINGS)
    old = [path / "refs/heads/a.lock", path / "packed-refs.lock", path / "objects/tmp_objdir-incoming-a"]
    young = [path / "refs/heads/b.lock", path / "objects/tmp_objdir-incoming-b"]
    for found in (*old, *young):
        found.mkdir() if "objdir" in found.name else found.touch()
    for found in old:
        os.utime(found, (1000, 1000))
    assert repository.remove_stale_blocking(path, older_than=2000) == 3
    assert [found.exists() for found in (*old, *young)] == [False] * 3 + [True] * 2


def test_a_lock_that_vanishes_meanwhile_is_young(tmp_path):
    assert repository._modified(tmp_path / "absent") == float("inf")
