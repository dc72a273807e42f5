"""One set of files of a commit: which they are, whether they are within bounds, and their bytes one after the other.

Sizes are known before anything is read; at most one file is in memory. What cannot be had ends in a status that says
which file it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kasbah.kas.gitops.globs import Glob
from kasbah.kas.gitops.request import Wanted
from kasbah.kas.gitops.settings import Settings
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.errors import FileTooLargeError, NotARegularFileError, TooManyFilesError
from kasbah.kas.hub_client.records import RepositoryFile
from kasbah.wire.rpc import RpcError, StatusCode

_MOST_COMPARISONS: Final = 1_000_000
"""Of paths with globs, for one set: a few seconds of one processor."""


@dataclass(frozen=True, slots=True)
class Place:
    """A project's repository at a commit."""

    project_id: int
    commit_id: str


class Manifests:
    """Reads sets through one client of the Git side."""

    def __init__(self, hub: HubClient, settings: Settings) -> None:
        self._hub = hub
        self._settings = settings

    async def choose(self, place: Place, wanted: Wanted) -> list[str]:
        """The paths of the set: what the globs mean in the order of the globs, then the files that were named.

        Raises:
            RpcError: FAILED_PRECONDITION: it is over a bound, or two globs mean the same file.
            HubError: the files could not be listed.
        """
        chosen = await self._globbed(place, wanted.globs)
        self._check_sizes(chosen.values())
        paths = list(dict.fromkeys([*chosen, *wanted.files]))
        if len(paths) > self._settings.max_number_of_files:
            raise _precondition(f"there are over {self._settings.max_number_of_files} files")
        return paths

    async def read(self, place: Place, paths: Sequence[str]) -> AsyncGenerator[tuple[str, bytes]]:
        """Each file with its content.

        Raises:
            RpcError: FAILED_PRECONDITION: a file is not there, is none, or is over a bound.
            HubError: it could not be read.
        """
        left = self._settings.max_total_manifest_file_size
        for path in paths:
            content = await self._content(place, path)
            left -= len(content)
            if left < 0:
                raise self._too_large_together()
            yield path, content

    async def _globbed(self, place: Place, globs: Sequence[Glob]) -> Mapping[str, RepositoryFile]:
        listed: list[RepositoryFile] = []
        for directory, depth in _listings(globs):
            try:
                listed += await self._hub.repository_tree(
                    place.project_id, place.commit_id, path=directory, depth=depth
                )
            except TooManyFilesError as error:
                raise _precondition(f"{directory or 'the repository'}: {error}") from error
        files = [file for file in listed if file.is_regular]
        if len(files) * len(globs) > _MOST_COMPARISONS:
            raise _precondition(
                "there are too many files for so many globs; begin the globs with directories"
            )
        return await asyncio.to_thread(_chosen, files, globs)

    def _check_sizes(self, files: Iterable[RepositoryFile]) -> None:
        total = 0
        for file in files:
            if file.size > self._settings.max_manifest_file_size:
                raise self._too_large(file.path)
            total += file.size
        if total > self._settings.max_total_manifest_file_size:
            raise self._too_large_together()

    async def _content(self, place: Place, path: str) -> bytes:
        try:
            content = await self._hub.repository_file(
                place.project_id,
                place.commit_id,
                path,
                max_bytes=self._settings.max_manifest_file_size,
            )
        except FileTooLargeError as error:
            raise self._too_large(path) from error
        except NotARegularFileError as error:
            raise _precondition(f"{path!r} is not a regular file") from error
        if content is None:
            raise _precondition(f"{path!r} is not found")
        return content

    def _too_large(self, path: str) -> RpcError:
        return _precondition(f"{path!r} is over {self._settings.max_manifest_file_size} bytes")

    def _too_large_together(self) -> RpcError:
        limit = self._settings.max_total_manifest_file_size
        return _precondition(f"the files are over {limit} bytes together")


def _listings(globs: Sequence[Glob]) -> Iterator[tuple[str, int | None]]:
    """The directories to list, with depths: none below another, so that no file is listed twice."""
    levels: dict[str, int | None] = {}
    for glob in sorted(globs, key=lambda glob: (len(glob.directory), glob.directory)):
        above = next((one for one in levels if not one or f"{glob.directory}/".startswith(f"{one}/")), None)
        if above is None:
            levels[glob.directory] = glob.depth
            continue
        more = glob.directory.removeprefix(above).strip("/")
        depth = None if glob.depth is None else glob.depth + (more.count("/") + 1 if more else 0)
        known = levels[above]
        levels[above] = None if depth is None or known is None else max(depth, known)
    yield from levels.items()


def _chosen(files: Sequence[RepositoryFile], globs: Sequence[Glob]) -> Mapping[str, RepositoryFile]:
    chosen: dict[str, RepositoryFile] = {}
    for glob in globs:
        for file in files:
            if glob.means(file.path):
                if file.path in chosen:
                    raise _precondition(
                        f"{file.path!r} is meant by more than one glob, {glob.text!r} the last"
                    )
                chosen[file.path] = file
    return chosen


def _precondition(problem: str) -> RpcError:
    return RpcError(StatusCode.FAILED_PRECONDITION, problem)
