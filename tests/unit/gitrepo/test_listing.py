"""The files of real commits, also of hostile ones."""

from __future__ import annotations

from pathlib import Path

import pygit2
import pytest
from pygit2.enums import FileMode

from kasbah.gitrepo import listing, repository
from kasbah.gitrepo.errors import CommitNotFoundError, GitFailedError, TooManyFilesError
from kasbah.gitrepo.listing import ListedFile, list_files_blocking
from kasbah.gitrepo.settings import GitSettings

AUTHOR = pygit2.Signature("Test", "t@example.com", 1_700_000_000, 0)


@pytest.fixture
def path(tmp_path) -> Path:
    repository.create_blocking(tmp_path / "7.git", "main", GitSettings())
    return tmp_path / "7.git"


def commit_of(path: Path, *entries: tuple[str, pygit2.Oid | str, FileMode]) -> str:
    git = pygit2.Repository(str(path))
    return str(git.create_commit(None, AUTHOR, AUTHOR, "first", tree_of(git, *entries), []))


def tree_of(git: pygit2.Repository, *entries: tuple[str, pygit2.Oid | str, FileMode]) -> pygit2.Oid:
    tree = git.TreeBuilder()
    for name, object_id, mode in entries:
        tree.insert(name, object_id, mode)
    return tree.write()


@pytest.fixture
def commit(path) -> str:
    """README, run.sh, dir/file, dir/deep/file, link, module."""
    git = pygit2.Repository(str(path))
    blob = git.create_blob(b"content")
    deep = tree_of(git, ("file", blob, FileMode.BLOB))
    inner = tree_of(git, ("file", blob, FileMode.BLOB), ("deep", deep, FileMode.TREE))
    return commit_of(
        path,
        ("README", blob, FileMode.BLOB),
        ("run.sh", blob, FileMode.BLOB_EXECUTABLE),
        ("dir", inner, FileMode.TREE),
        ("link", git.create_blob(b"README"), FileMode.LINK),
        ("module", "1" * 40, FileMode.COMMIT),
    )


def paths(path: Path, commit: str, directory: str = "", **more: int) -> list[str]:
    return [file.path for file in list_files_blocking(path, commit, directory, **more)]


def test_all_files_are_listed_with_their_kinds_and_sizes(path, commit):
    assert list_files_blocking(path, commit) == [
        ListedFile("README", "100644", 7),
        ListedFile("dir/deep/file", "100644", 7),
        ListedFile("dir/file", "100644", 7),
        ListedFile("link", "120000", 6),
        ListedFile("module", "160000", 0),
        ListedFile("run.sh", "100755", 7),
    ]


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        ("dir", ["dir/deep/file", "dir/file"]),
        ("dir/deep", ["dir/deep/file"]),
        ("README", []),
        ("link", []),
        ("module", []),
        ("absent/deep", []),
        ("../dir", []),
        ("/dir", []),
        ("dir/", []),
        ("x/" * 300, []),
    ],
)
def test_a_part_is_listed_by_whole_paths(path, commit, directory, expected):
    assert paths(path, commit, directory) == expected


def test_a_list_goes_as_deep_as_asked(path, commit):
    assert paths(path, commit, depth=1) == ["README", "link", "module", "run.sh"]
    assert paths(path, commit, "dir", depth=1) == ["dir/file"]
    assert paths(path, commit, depth=0) == paths(path, commit, depth=1)


@pytest.mark.parametrize("revision", ["main", "1" * 40, ""])
def test_only_the_full_id_of_a_commit_names_one(path, commit, revision):
    with pytest.raises(CommitNotFoundError):
        list_files_blocking(path, revision)


def test_directories_that_hold_each_other_many_times_are_counted(path):
    git = pygit2.Repository(str(path))
    tree = tree_of(git)
    for _ in range(20):
        tree = tree_of(git, *[(f"{number:02}", tree, FileMode.TREE) for number in range(20)])
    commit = str(git.create_commit(None, AUTHOR, AUTHOR, "a bomb", tree, []))
    with pytest.raises(TooManyFilesError, match="more than 10000"):
        list_files_blocking(path, commit)


def test_long_paths_are_counted(path, monkeypatch):
    monkeypatch.setattr(listing, "MAX_PATH_BYTES", 300)
    blob = pygit2.Repository(str(path)).create_blob(b"")
    commit = commit_of(path, *[(f"{number}" * 100, blob, FileMode.BLOB) for number in range(4)])
    with pytest.raises(TooManyFilesError, match="over 300 bytes"):
        list_files_blocking(path, commit)


def test_names_that_are_no_utf8_are_left_out(path):
    git = pygit2.Repository(str(path))
    blob = git.create_blob(b"").raw
    names = ("\u00e4".encode(), b"\xff")
    raw = b"".join(b"100644 %b\0%b" % (name, blob) for name in names)
    tree = git.write(pygit2.enums.ObjectType.TREE, raw)
    commit = str(git.create_commit(None, AUTHOR, AUTHOR, "first", tree, []))
    assert paths(path, commit) == ["\u00e4"]


def test_a_damaged_directory_is_our_failure(path, commit):
    tree = str(pygit2.Repository(str(path))[commit].tree["dir"].id)
    (path / "objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(GitFailedError):
        list_files_blocking(path, commit)
