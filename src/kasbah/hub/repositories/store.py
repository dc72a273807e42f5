"""Where repositories lie: by the project's number, never by a name that a person chose.

`root/<number modulo 1000>/<number>.git`. Moving or renaming a project touches nothing here, and no path of a request
ever becomes a path of the disk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

import structlog

from kasbah.gitrepo import durability, listing, reading, repository
from kasbah.gitrepo.branch_name import is_branch_name
from kasbah.gitrepo.errors import GitFailedError
from kasbah.gitrepo.listing import ListedFile
from kasbah.gitrepo.reading import RepositoryHead
from kasbah.gitrepo.settings import GitSettings
from kasbah.hub.errors import RepositoryUnavailableError
from kasbah.hub.projects.model import BRANCH_REF
from kasbah.hub.repositories.housekeeping import Housekeeping

_log = structlog.get_logger()

_SHARDS = 1000


class RepositoryStore:
    """The repositories of all projects, in one directory."""

    def __init__(self, root: Path, settings: GitSettings | None = None) -> None:
        self._root = root.absolute()
        self.settings = settings or GitSettings()
        self.housekeeping = Housekeeping(self.path, self.settings)
        reading.isolate()

    async def run(self) -> None:
        """Keep the repositories tidy until cancelled; pushes and pulls work with or without."""
        await self.housekeeping.run()

    def path(self, project_id: int) -> Path:
        """The directory of a project's repository; the project exists, so it does too."""
        return self._root / f"{project_id % _SHARDS:03d}" / f"{project_id}.git"

    async def create(self, project_id: int, default_branch: str) -> None:
        """Make an empty repository, durable on return; a left-over of the same number is replaced."""
        path = self.path(project_id)
        try:
            await asyncio.to_thread(repository.create_blocking, path, default_branch, self.settings)
        except OSError as error:
            _log.error("repository not created", project_id=project_id, error=str(error))
            raise RepositoryUnavailableError(
                "the repository cannot be created now; see the hub's log"
            ) from error

    async def delete(self, project_id: int) -> None:
        """Remove the repository; an absent one is fine."""
        await asyncio.to_thread(repository.remove_blocking, self.path(project_id))

    async def head(self, project_id: int) -> RepositoryHead:
        """The default branch and its commit."""
        return await asyncio.to_thread(reading.head_blocking, self.path(project_id))

    async def read_file(self, project_id: int, commit_id: str, file: str, *, max_bytes: int) -> bytes:
        """A regular file of a commit; see `reading.read_file_blocking` for the refusals."""
        path = self.path(project_id)
        return await asyncio.to_thread(reading.read_file_blocking, path, commit_id, file, max_bytes=max_bytes)

    async def find_commit(self, project_id: int, ref: str) -> str | None:
        """The commit a ref's whole name stands for; None when there is no such ref."""
        return await asyncio.to_thread(reading.find_commit_blocking, self.path(project_id), ref)

    async def has_commit(self, project_id: int, commit_id: str) -> bool:
        """Whether this is the full id of a commit of the repository."""
        return await asyncio.to_thread(reading.has_commit_blocking, self.path(project_id), commit_id)

    async def list_files(
        self, project_id: int, commit_id: str, directory: str, *, depth: int
    ) -> list[ListedFile]:
        """The files below a directory of a commit; see `listing.list_files_blocking` for the refusals."""
        path = self.path(project_id)
        return await asyncio.to_thread(listing.list_files_blocking, path, commit_id, directory, depth=depth)

    async def count_refs(self, project_id: int) -> int:
        return await asyncio.to_thread(reading.count_refs_blocking, self.path(project_id))

    async def resolve(self, project_id: int, refs: Iterable[bytes]) -> dict[bytes, str]:
        """What these refs point at now; those that are absent are left out."""
        return await asyncio.to_thread(reading.resolve_blocking, self.path(project_id), list(refs))

    async def sync_push(self, project_id: int, refs: Iterable[bytes]) -> None:
        """Make the push durable that moved these refs."""
        try:
            await asyncio.to_thread(durability.sync_push_blocking, self.path(project_id), list(refs))
        except OSError as error:
            raise GitFailedError("the push could not be made durable; nothing is promised") from error

    async def choose_default_branch(self, project_id: int, refs: Iterable[bytes]) -> str | None:
        """Which of these refs HEAD may point at: `main`, `master`, or the first branch that exists by name."""
        return _chosen_of(await self.resolve(project_id, refs))

    async def set_default_branch(self, project_id: int, branch: str) -> None:
        """Point HEAD at a branch, durably."""
        try:
            await asyncio.to_thread(repository.set_default_branch_blocking, self.path(project_id), branch)
        except OSError as error:
            raise GitFailedError("the default branch could not be set; push once more") from error

    async def remove_stale(self, project_id: int) -> None:
        """Remove ref locks and quarantines older than any git process of ours may live: a power cut left them."""
        older_than = time.time() - self.settings.wall_s - 60
        path = self.path(project_id)
        removed = await asyncio.to_thread(repository.remove_stale_blocking, path, older_than=older_than)
        if removed:
            _log.warning("stale locks and quarantines removed", project_id=project_id, count=removed)

    async def sweep(self) -> None:
        """Remove what a kill left behind half made or half removed; at the start, before anybody comes."""
        removed = await asyncio.to_thread(self._sweep_blocking)
        if removed:
            _log.info("half-made repositories removed", count=removed)

    def _sweep_blocking(self) -> int:
        return sum(repository.sweep_blocking(shard) for shard in self._root.glob("[0-9][0-9][0-9]"))


def _chosen_of(refs: Iterable[bytes]) -> str | None:
    names = sorted(
        ref.decode().removeprefix(BRANCH_REF) for ref in refs if ref.startswith(BRANCH_REF.encode())
    )
    branches = [name for name in names if is_branch_name(name)]
    return next((name for name in ("main", "master") if name in branches), next(iter(branches), None))
