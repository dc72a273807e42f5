"""What kas reads from repositories: additions of ours to GitLab's internal API, whose kas asks Gitaly instead.

`repository_head`, `repository_ref`, `repository_tree` and `repository_file`, by kas' JWT and the project's number: which
agent may read which project, kas asks beforehand.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec
from starlette.responses import Response

from kasbah.gitrepo.errors import (
    CommitNotFoundError,
    FileNotFoundInCommitError,
    FileTooLargeError,
    NotRegularFileError,
    TooManyFilesError,
)
from kasbah.gitrepo.reading import MAX_DEPTH
from kasbah.hub.errors import NotFoundError
from kasbah.hub.projects.model import Project
from kasbah.hub.repositories.store import RepositoryStore
from kasbah.hub.rest.access import KAS
from kasbah.hub.rest.call import Call
from kasbah.hub.rest.errors import ApiError
from kasbah.hub.rest.parameters import ParametersError
from kasbah.hub.rest.reply import Reply
from kasbah.hub.rest.router import Route

LARGEST_FILE: Final = 5 << 20
"""What one answer may hold, whatever kas asks for."""


class FindProject(Protocol):
    async def find(self, project_id: int) -> Project | None: ...


class RepositoryHeadParameters(msgspec.Struct, frozen=True):
    project_id: int


class RepositoryRefParameters(msgspec.Struct, frozen=True):
    """At most one of the three; without one the default branch is meant."""

    project_id: int
    branch: str | None = None
    tag: str | None = None
    commit: str | None = None


class RepositoryTreeParameters(msgspec.Struct, frozen=True):
    project_id: int
    commit_id: str
    path: str = ""
    depth: int = MAX_DEPTH


class RepositoryFileParameters(msgspec.Struct, frozen=True):
    project_id: int
    commit_id: str
    path: str
    max_bytes: int


def routes(repositories: RepositoryStore, projects: FindProject) -> list[Route[Any]]:
    """The rows for the hub's router."""
    reads = _Reads(repositories, projects)
    prefix = "/internal/kubernetes"
    return [
        Route("GET", f"{prefix}/repository_head", reads.head, RepositoryHeadParameters, access=KAS),
        Route("GET", f"{prefix}/repository_ref", reads.ref, RepositoryRefParameters, access=KAS),
        Route("GET", f"{prefix}/repository_tree", reads.tree, RepositoryTreeParameters, access=KAS),
        Route("GET", f"{prefix}/repository_file", reads.file, RepositoryFileParameters, access=KAS),
    ]


class _Reads:
    def __init__(self, repositories: RepositoryStore, projects: FindProject) -> None:
        self._repositories = repositories
        self._projects = projects

    async def head(self, _call: Call, parameters: RepositoryHeadParameters) -> Reply:
        await self._require(parameters.project_id)
        head = await self._repositories.head(parameters.project_id)
        return Reply({"default_branch": head.default_branch, "commit_id": head.commit_id})

    async def ref(self, _call: Call, parameters: RepositoryRefParameters) -> Reply:
        project_id = parameters.project_id
        await self._require(project_id)
        match (parameters.branch, parameters.tag, parameters.commit):
            case (None, None, None):
                return Reply({"commit_id": (await self._repositories.head(project_id)).commit_id})
            case (str(branch), None, None):
                found = await self._repositories.find_commit(project_id, f"refs/heads/{branch}")
            case (None, str(tag), None):
                found = await self._repositories.find_commit(project_id, f"refs/tags/{tag}")
            case (None, None, str(commit)):
                found = commit if await self._repositories.has_commit(project_id, commit) else None
            case _:
                raise ParametersError(["branch, tag, commit are mutually exclusive"])
        if found is None:
            raise NotFoundError("Ref")
        return Reply({"commit_id": found})

    async def tree(self, _call: Call, parameters: RepositoryTreeParameters) -> Reply:
        await self._require(parameters.project_id)
        try:
            files = await self._repositories.list_files(
                parameters.project_id, parameters.commit_id, parameters.path, depth=parameters.depth
            )
        except CommitNotFoundError as error:
            raise NotFoundError("Commit") from error
        except (TooManyFilesError, FileTooLargeError) as error:
            raise ApiError(413, str(error)) from error
        return Reply({"files": files})

    async def file(self, _call: Call, parameters: RepositoryFileParameters) -> Response:
        await self._require(parameters.project_id)
        limit = min(parameters.max_bytes, LARGEST_FILE)
        try:
            content = await self._repositories.read_file(
                parameters.project_id, parameters.commit_id, parameters.path, max_bytes=limit
            )
        except CommitNotFoundError as error:
            raise NotFoundError("Commit") from error
        except FileNotFoundInCommitError as error:
            raise NotFoundError("File") from error
        except FileTooLargeError as error:
            raise ApiError(413, str(error)) from error
        except NotRegularFileError as error:
            raise ApiError(422, str(error)) from error
        return Response(content, media_type="application/octet-stream")

    async def _require(self, project_id: int) -> None:
        if await self._projects.find(project_id) is None:
            raise NotFoundError("Project")
