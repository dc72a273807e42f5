"""After a push: first it is on disk, then the rest of the house hears of it.

On the walk of a push: git_http → here → kas_client → the agents that watch the project. Whoever is told may be away;
the push stands whatever they say, for a notice is a hint and the interval is the guarantee.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import structlog

from kasbah.errors import KasbahError
from kasbah.hub.kas_client import GitPushEvent, KasClient
from kasbah.hub.projects.model import Project
from kasbah.hub.repositories.store import RepositoryStore

_log = structlog.get_logger()

_TELLING_S: Final = 5.0
"""A push waits no longer than this for those who are told of it."""


class PushedProjects(Protocol):
    """What a push changes about a project besides its repository."""

    async def touch(self, project_id: int) -> None: ...

    async def set_default_branch(self, project_id: int, branch: str) -> None: ...


class PushService:
    def __init__(
        self,
        repositories: RepositoryStore,
        projects: PushedProjects,
        kas_client: KasClient,
        *,
        telling_s: float = _TELLING_S,
    ) -> None:
        self._repositories = repositories
        self._projects = projects
        self._kas_client = kas_client
        self._telling_s = telling_s

    async def after_push(self, project: Project, refs: tuple[bytes, ...]) -> None:
        """Make the push durable that moved these refs, then tell.

        Raises:
            GitFailedError: the disk did not confirm; the client must not hear "ok".
        """
        await self._repositories.sync_push(project.id, refs)
        adopted = await self._repositories.adopt_default_branch(project.id)
        _log.info("push received", project_id=project.id, refs=len(refs))
        self._repositories.housekeeping.note_push(project.id)
        await self._tell(project, adopted)

    async def _tell(self, project: Project, default_branch: str | None) -> None:
        event = GitPushEvent(project_id=project.id, full_path=project.full_path)
        try:
            async with asyncio.timeout(self._telling_s):
                if default_branch is not None:
                    _log.info("default branch adopted", project_id=project.id, branch=default_branch)
                    await self._projects.set_default_branch(project.id, default_branch)
                await self._kas_client.git_push(event)
                await self._projects.touch(project.id)
        except (KasbahError, OSError, TimeoutError) as error:
            _log.warning("push not announced", project_id=project.id, error=str(error))
