"""Refs and files, read from real objects."""

from __future__ import annotations

from pathlib import Path

import pygit2
import pytest
from pygit2.enums import FileMode

from kasbah.gitrepo import reading, repository
from kasbah.gitrepo.errors import (
    CommitNotFoundError,
    FileNotFoundInCommitError,
    FileTooLargeError,
    GitFailedError,
    NotRegularFileError,
)
from kasbah.gitrepo.settings import GitSettings

AUTHOR = pygit2.Signature("Test", "t@example.com", 1_700_000_000, 0)


@pytest.fixture
def path(tmp_path) -> Path:
    repository.create_blocking(tmp_path / "7.git", "main", GitSettings())
    return tmp_path / "7.git"


@pytest.fixture
def commit(path) -> str:
    """A commit with a file of each kind: README, run.sh, dir/file, link, dirlink, module."""
    git = pygit2.Repository(str(path))
    blob = git.create_blob(b"content")
    inner = git.TreeBuilder()
    inner.insert("file", blob, FileMode.BLOB)
    outer = git.TreeBuilder()
    outer.insert("README", blob, FileMode.BLOB)
    outer.insert("run.sh", blob, FileMode.BLOB_EXECUTABLE)
    outer.insert("dir", inner.write(), FileMode.TREE)
    outer.insert("link", git.create_blob(b"README"), FileMode.LINK)
    outer.insert("dirlink", git.create_blob(b"dir"), FileMode.LINK)
    outer.insert("module", "1" * 40, FileMode.COMMIT)
    return str(git.create_commit("refs/heads/main", AUTHOR, AUTHOR, "first", outer.write(), []))


@pytest.mark.parametrize("file", ["README", "run.sh", "dir/file"])
def test_regular_files_are_read(path, commit, file):
    assert reading.read_file_blocking(path, commit, file, max_bytes=7) == b"content"


@pytest.mark.parametrize("file", ["link", "dirlink/file", "module", "module/x", "dir", "README/x"])
def test_what_is_no_regular_file_is_refused(path, commit, file):
    with pytest.raises(NotRegularFileError):
        reading.read_file_blocking(path, commit, file, max_bytes=100)


@pytest.mark.parametrize(
    "file", ["absent", "dir/absent", "", "/README", "dir//file", "../README", "./README"]
)
def test_what_is_not_there_is_not_found(path, commit, file):
    with pytest.raises(FileNotFoundInCommitError):
        reading.read_file_blocking(path, commit, file, max_bytes=100)


@pytest.mark.parametrize("file", ["a\0b", "x/" * 300 + "x"])
def test_paths_no_repository_has_are_not_found(path, commit, file):
    with pytest.raises(FileNotFoundInCommitError):
        reading.read_file_blocking(path, commit, file, max_bytes=100)


def test_a_file_too_large_is_not_loaded(path, commit):
    with pytest.raises(FileTooLargeError, match="has 7 bytes; at most 6"):
        reading.read_file_blocking(path, commit, "README", max_bytes=6)


def test_a_directory_too_large_is_not_loaded(path, commit, monkeypatch):
    monkeypatch.setattr(reading, "_MAX_TREE_BYTES", 10)
    with pytest.raises(FileTooLargeError, match="too many entries"):
        reading.read_file_blocking(path, commit, "README", max_bytes=100)


@pytest.mark.parametrize("revision", ["main", "HEAD", "1" * 40, "abc", "--all", ""])
def test_only_the_full_id_of_a_commit_names_one(path, commit, revision):
    with pytest.raises(CommitNotFoundError):
        reading.read_file_blocking(path, revision, "README", max_bytes=100)


def test_the_id_of_a_tree_names_no_commit(path, commit):
    tree = str(pygit2.Repository(str(path))[commit].tree_id)
    with pytest.raises(CommitNotFoundError):
        reading.read_file_blocking(path, tree, "README", max_bytes=100)


def test_a_damaged_object_is_our_failure(path, commit):
    blob = pygit2.hash(b"content").raw.hex()
    (path / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(GitFailedError):
        reading.read_file_blocking(path, commit, "README", max_bytes=100)


def test_the_head_has_the_newest_commit(path, commit):
    head = reading.head_blocking(path)
    assert (head.default_branch, head.commit_id) == ("main", commit)


def test_a_damaged_head_is_our_failure(path):
    (path / "HEAD").write_bytes(b"ref: nonsense..\n")
    with pytest.raises(GitFailedError):
        reading.head_blocking(path)


def test_a_directory_that_is_no_repository_is_our_failure(tmp_path):
    with pytest.raises(GitFailedError):
        reading.head_blocking(tmp_path)


def test_refs_are_listed_counted_and_resolved(path, commit):
    git = pygit2.Repository(str(path))
    git.create_reference("refs/heads/feature/a", commit)
    git.create_reference("refs/tags/v1", commit)
    assert reading.list_branches_blocking(path) == ["feature/a", "main"]
    assert reading.count_refs_blocking(path) == 3
    found = reading.resolve_blocking(path, [b"refs/tags/v1", b"refs/tags/v2", b"refs/heads/\xff", b"x..y"])
    assert found == {b"refs/tags/v1": commit}


def test_a_ref_stands_for_its_commit_through_tags_of_tags(path, commit):
    git = pygit2.Repository(str(path))
    inner = git.create_tag("v1", commit, pygit2.enums.ObjectType.COMMIT, AUTHOR, "one")
    git.create_tag("v1.0", inner, pygit2.enums.ObjectType.TAG, AUTHOR, "the same")
    git.create_tag("tree", git[commit].tree_id, pygit2.enums.ObjectType.TREE, AUTHOR, "no commit")
    for ref in ("refs/heads/main", "refs/tags/v1", "refs/tags/v1.0"):
        assert reading.find_commit_blocking(path, ref) == commit
    for ref in (
        "refs/heads/absent",
        "main",
        commit,
        "refs/tags/tree",
        "refs/heads/a..b",
        "refs/heads/\0",
        "",
    ):
        assert reading.find_commit_blocking(path, ref) is None


def test_a_commit_is_known_by_its_full_id(path, commit):
    tree = str(pygit2.Repository(str(path))[commit].tree_id)
    known = [
        reading.has_commit_blocking(path, one) for one in (commit, commit[:39], tree, "1" * 40, "main", "")
    ]
    assert known == [True, False, False, False, False, False]


def test_the_machines_own_git_configuration_is_not_asked():
    reading.isolate()
    assert {pygit2.settings.search_path[level] for level in reading._FOREIGN_CONFIGURATION} == {
        "/nonexistent"
    }
