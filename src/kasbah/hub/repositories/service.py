"""After a push: first it is on disk and its default branch protected, then the rest of the house hears of it.

On the walk of a push: git_http → here → kas_client → the agents that watch the project. Whoever is told may be away;
the push stands whatever they say, for a notice is a hint and the interval is the guarantee. The default branch is no
notice: agents are configured from it, so who pushes hears "ok" when it is protected, and not before.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import structlog

from kasbah.errors import KasbahError
from kasbah.gitrepo.errors import GitFailedError
from kasbah.hub.errors import DatabaseUnavailableError
from kasbah.hub.identity import User
from kasbah.hub.kas_client import GitPushEvent, KasClient
from kasbah.hub.projects.model import Project, ProtectedBranch
from kasbah.hub.repositories import access
from kasbah.hub.repositories.store import RepositoryStore

_log = structlog.get_logger()

_TELLING_S: Final = 5.0
"""A push waits no longer than this for those who are told of it."""


class PushedProjects(Protocol):
    """What a push changes about a project besides its repository, and what decides whether it may."""

    async def access_level(self, user: User | None, project: Project) -> int: ...

    async def protected_branches(self, project_id: int) -> list[ProtectedBranch]: ...

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

    async def after_push(self, project: Project, pusher: User | None, refs: tuple[bytes, ...]) -> None:
        """Make the push durable that moved these refs, and its default branch certain; then tell.

        Raises:
            GitFailedError: the disk or the database did not confirm; the client must not hear "ok".
        """
        await self._repositories.sync_push(project.id, refs)
        try:
            await self._secure_default_branch(project, pusher, refs)
        except DatabaseUnavailableError as error:
            raise GitFailedError(
                "the push is stored, but the default branch could not be protected; push once more"
            ) from error
        _log.info("push received", project_id=project.id, refs=len(refs))
        self._repositories.housekeeping.note_push(project.id)
        await self._tell(project)

    async def _secure_default_branch(
        self, project: Project, pusher: User | None, refs: tuple[bytes, ...]
    ) -> None:
        """Protect the branch that HEAD names, and let the first push of somebody who may choose it do so."""
        head = await self._repositories.head(project.id)
        if head.commit_id is not None:
            if head.default_branch != project.default_branch:
                await self._projects.set_default_branch(project.id, head.default_branch)
            return
        chosen = await self._repositories.choose_default_branch(project.id, refs)
        if chosen is None or not await self._may_choose(project, pusher, head.default_branch):
            return
        # HEAD comes last: until it points there, nobody is configured from a branch that is not protected yet.
        await self._projects.set_default_branch(project.id, chosen)
        await self._repositories.set_default_branch(project.id, chosen)
        _log.info("default branch adopted", project_id=project.id, branch=chosen)

    async def _may_choose(self, project: Project, pusher: User | None, unborn: str) -> bool:
        """Whoever may push to the default branch that is not there yet may push another one in its place."""
        rules = await self._projects.protected_branches(project.id)
        level = await self._projects.access_level(pusher, project)
        return access.lets_push(unborn, rules, level=level, is_admin=pusher is not None and pusher.is_admin)

    async def _tell(self, project: Project) -> None:
        event = GitPushEvent(project_id=project.id, full_path=project.full_path)
        try:
            async with asyncio.timeout(self._telling_s):
                await self._kas_client.git_push(event)
                await self._projects.touch(project.id)
        except (KasbahError, OSError, TimeoutError) as error:
            _log.warning("push not announced", project_id=project.id, error=str(error))
