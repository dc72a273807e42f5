"""Reads refs and files of a bare repository with libgit2, without ever checking anything out.

A file is read by commit id and path, entry by entry: only directories on the way and a regular file at the end, so a
symbolic link or a submodule in a repository leads nowhere. Sizes are asked before bytes are loaded. Functions named
`_blocking` belong in a thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pygit2
from pygit2.enums import ConfigLevel, FileMode, RepositoryOpenFlag

from kasbah.gitrepo.errors import (
    CommitNotFoundError,
    FileNotFoundInCommitError,
    FileTooLargeError,
    GitFailedError,
    NotRegularFileError,
)

MAX_DEPTH: Final = 256
_SHOWN: Final = 256
"""How much of a path an error repeats."""
_OBJECT_ID = re.compile(r"[0-9a-f]{40}")
_FLAGS = RepositoryOpenFlag.NO_SEARCH | RepositoryOpenFlag.BARE | RepositoryOpenFlag.NO_DOTGIT
_MAX_TREE_BYTES: Final = 16 << 20
_FOREIGN_CONFIGURATION = (ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL, ConfigLevel.PROGRAMDATA)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryHead:
    """The default branch, and the commit it is at."""

    default_branch: str
    commit_id: str | None
    """None: the repository has no commit on that branch yet."""


def isolate() -> None:
    """Keep libgit2 from the machine's and the user's Git configuration, as `configuration` does for git."""
    for level in _FOREIGN_CONFIGURATION:
        pygit2.settings.search_path[level] = "/nonexistent"
    # The directories are ours by construction; volumes are often owned by somebody else (root, nobody).
    pygit2.settings.owner_validation = False


def head_blocking(path: Path) -> RepositoryHead:
    """Where HEAD points.

    Raises:
        GitFailedError: the repository is damaged.
    """
    repository = open_blocking(path)
    try:
        target = repository.lookup_reference("HEAD").target
        branch = str(target).removeprefix("refs/heads/")
        commit_id = None if repository.head_is_unborn else str(repository.head.target)
    except (pygit2.GitError, KeyError) as error:
        raise GitFailedError("the repository's HEAD cannot be read") from error
    return RepositoryHead(default_branch=branch, commit_id=commit_id)


def list_branches_blocking(path: Path) -> list[str]:
    """The names of all branches, in order."""
    prefix = b"refs/heads/"
    refs = sorted(ref for ref in open_blocking(path).raw_listall_references() if ref.startswith(prefix))
    return [ref.removeprefix(prefix).decode(errors="surrogateescape") for ref in refs]


def count_refs_blocking(path: Path) -> int:
    """How many refs the repository has."""
    return len(open_blocking(path).raw_listall_references())


def resolve_blocking(path: Path, refs: Iterable[bytes]) -> dict[bytes, str]:
    """What each of these refs points at; absent ones, and those that libgit2 cannot name, are left out."""
    repository = open_blocking(path)
    found: dict[bytes, str] = {}
    for ref in refs:
        try:
            found[ref] = str(repository.lookup_reference(ref.decode()).target)
        except (KeyError, ValueError, pygit2.GitError):
            continue
    return found


def find_commit_blocking(path: Path, ref: str) -> str | None:
    """The commit that a whole ref's name (`refs/heads/main`) stands for, through tags of tags; None when absent.

    Raises:
        GitFailedError: the repository is damaged.
    """
    repository = open_blocking(path)
    try:
        return str(repository.lookup_reference(ref).peel(pygit2.Commit).id)
    except (KeyError, ValueError, pygit2.GitError):
        return None


def has_commit_blocking(path: Path, commit_id: str) -> bool:
    """Whether this is the full id of a commit of the repository."""
    repository = open_blocking(path)
    return bool(_OBJECT_ID.fullmatch(commit_id)) and isinstance(repository.get(commit_id), pygit2.Commit)


def read_file_blocking(path: Path, commit_id: str, file: str, *, max_bytes: int) -> bytes:
    """A regular file of a commit.

    Raises:
        CommitNotFoundError: no such commit.
        FileNotFoundInCommitError: no such path in it.
        NotRegularFileError: a symbolic link, submodule or directory.
        FileTooLargeError: more than `max_bytes`.
        GitFailedError: the repository is damaged.
    """
    repository = open_blocking(path)
    shown = file[:_SHOWN]
    try:
        blob_id = _find_blob(repository, tree_of(repository, commit_id), file)
        _, size = repository.odb.read_header(blob_id)
        if size > max_bytes:
            raise FileTooLargeError(f"{shown!r} has {size} bytes; at most {max_bytes} are taken")
        _, content = repository.odb.read(blob_id)
    except (pygit2.GitError, KeyError) as error:
        raise GitFailedError(f"{shown!r} cannot be read from the repository") from error
    return content


def open_blocking(path: Path) -> pygit2.Repository:
    """The repository at exactly this path.

    Raises:
        GitFailedError: it is damaged or not there.
    """
    try:
        return pygit2.Repository(str(path), _FLAGS)
    except pygit2.GitError as error:
        raise GitFailedError("the repository cannot be opened") from error


def tree_of(repository: pygit2.Repository, commit_id: str) -> pygit2.Oid:
    """The commit's top directory.

    Raises:
        CommitNotFoundError: this is no commit's full id.
    """
    commit: object = repository.get(commit_id) if _OBJECT_ID.fullmatch(commit_id) else None
    if not isinstance(commit, pygit2.Commit):
        raise CommitNotFoundError(f"{commit_id[:64]!r} is not a commit of this repository; give its full id")
    return commit.tree_id


def _find_blob(repository: pygit2.Repository, tree_id: pygit2.Oid, file: str) -> pygit2.Oid:
    *directories, name = split_path(file)
    for directory in directories:
        entry = _entry(repository, tree_id, directory, file)
        if entry.filemode != FileMode.TREE:
            raise NotRegularFileError(f"{directory[:_SHOWN]!r} in {file[:_SHOWN]!r} is not a directory")
        tree_id = entry.id
    entry = _entry(repository, tree_id, name, file)
    if entry.filemode not in {FileMode.BLOB, FileMode.BLOB_EXECUTABLE}:
        raise NotRegularFileError(f"{file[:_SHOWN]!r} is not a regular file")
    return entry.id


def split_path(file: str) -> list[str]:
    """The names on the way to a file.

    Raises:
        FileNotFoundInCommitError: no repository has such a path.
    """
    parts = file.split("/")
    if len(parts) > MAX_DEPTH or any(part in {"", ".", ".."} or "\0" in part for part in parts):
        raise FileNotFoundInCommitError(f"{file[:_SHOWN]!r} is not a path within a repository")
    return parts


def load_tree(repository: pygit2.Repository, tree_id: pygit2.Oid, shown: str) -> pygit2.Tree:
    """One directory, for whoever asked for `shown`.

    Raises:
        FileTooLargeError: it has too many entries.
    """
    _, size = repository.odb.read_header(tree_id)
    if size > _MAX_TREE_BYTES:
        raise FileTooLargeError(f"a directory of {shown[:_SHOWN]!r} has too many entries to be read")
    return repository[tree_id].peel(pygit2.Tree)


def _entry(repository: pygit2.Repository, tree_id: pygit2.Oid, name: str, file: str) -> pygit2.Object:
    tree = load_tree(repository, tree_id, file)
    if name not in tree:
        raise FileNotFoundInCommitError(f"the commit has no file {file[:_SHOWN]!r}")
    return tree[name]
