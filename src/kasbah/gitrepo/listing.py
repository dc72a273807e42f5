"""Lists the files of a commit with libgit2: names, kinds and sizes, no contents.

A few hundred bytes of Git can describe a tree of a billion files (directories that hold each other many times over),
so directories are counted like files. Names that are no UTF-8 cannot be asked for by any of our protocols and are left
out. Functions named `_blocking` belong in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pygit2
from pygit2.enums import FileMode

from kasbah.gitrepo import reading
from kasbah.gitrepo.errors import FileNotFoundInCommitError, GitFailedError, TooManyFilesError

MAX_ENTRIES: Final = 10_000
MAX_PATH_BYTES: Final = 1 << 20
"""All paths of a list together."""
_ENTRY_MODES: Final = {
    FileMode.BLOB: "100644",
    FileMode.BLOB_EXECUTABLE: "100755",
    FileMode.LINK: "120000",
    FileMode.COMMIT: "160000",
}


@dataclass(frozen=True, slots=True)
class ListedFile:
    """Something of a commit that is no directory."""

    path: str
    mode: str
    """Git's, in octal: `100644`, `100755`, a symbolic link `120000`, a submodule `160000`."""
    size: int
    """In bytes; 0 for a submodule."""


def list_files_blocking(
    path: Path, commit_id: str, directory: str = "", *, depth: int = reading.MAX_DEPTH
) -> list[ListedFile]:
    """The files below a directory of a commit, in Git's order; none when there is no such directory.

    Args:
        path: the repository.
        commit_id: the commit's full id.
        directory: empty for the top.
        depth: how many levels to list; 1 for the directory's own files.

    Raises:
        CommitNotFoundError: no such commit.
        TooManyFilesError: more than one list holds.
        GitFailedError: the repository is damaged.
    """
    repository = reading.open_blocking(path)
    try:
        tree = _descend(repository, reading.tree_of(repository, commit_id), directory)
        return [] if tree is None else list(_Walk(repository, depth).files(tree, directory))
    except FileNotFoundInCommitError:
        return []
    except (pygit2.GitError, KeyError) as error:
        raise GitFailedError("a directory cannot be read from the repository") from error


def _descend(repository: pygit2.Repository, tree_id: pygit2.Oid, directory: str) -> pygit2.Oid | None:
    for name in reading.split_path(directory) if directory else ():
        tree = reading.load_tree(repository, tree_id, directory)
        if name not in tree or tree[name].filemode != FileMode.TREE:
            return None
        tree_id = tree[name].id
    return tree_id


class _Walk:
    """Counts what one list has met so far."""

    def __init__(self, repository: pygit2.Repository, depth: int) -> None:
        self._repository = repository
        self._depth = min(depth, reading.MAX_DEPTH)
        self._entries = 0
        self._path_bytes = 0

    def files(self, tree_id: pygit2.Oid, directory: str) -> Iterator[ListedFile]:
        """Depth first, without recursion."""
        open_trees = [self._entries_of(tree_id, directory)]
        while open_trees:
            entry = next(open_trees[-1], None)
            if entry is None:
                open_trees.pop()
            elif isinstance(entry, ListedFile):
                yield entry
            elif len(open_trees) < self._depth:
                open_trees.append(self._entries_of(*entry))

    def _entries_of(
        self, tree_id: pygit2.Oid, directory: str
    ) -> Iterator[ListedFile | tuple[pygit2.Oid, str]]:
        for entry in reading.load_tree(self._repository, tree_id, directory):
            name = _text(entry.raw_name)
            if name is None:
                continue
            path = f"{directory}/{name}" if directory else name
            self._count(path)
            if entry.filemode == FileMode.TREE:
                yield entry.id, path
            else:
                yield ListedFile(path, _ENTRY_MODES.get(entry.filemode, "100644"), self._size(entry))

    def _count(self, path: str) -> None:
        self._entries += 1
        self._path_bytes += len(path.encode())
        if self._entries > MAX_ENTRIES:
            raise TooManyFilesError(f"more than {MAX_ENTRIES} files and directories; ask for a part of them")
        if self._path_bytes > MAX_PATH_BYTES:
            raise TooManyFilesError(f"the paths are over {MAX_PATH_BYTES} bytes long; ask for a part of them")

    def _size(self, entry: pygit2.Object) -> int:
        return 0 if entry.filemode == FileMode.COMMIT else self._repository.odb.read_header(entry.id)[1]


def _text(name: bytes | None) -> str | None:
    try:
        return (name or b"").decode()
    except UnicodeDecodeError:
        return None
