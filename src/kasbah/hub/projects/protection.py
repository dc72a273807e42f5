"""Protected branches: which branches of a project only some may push to, or run jobs on.

A project's default branch is protected from the start. Developers see the rules, maintainers change them.
"""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from kasbah.hub.clock import Clock
from kasbah.hub.database import Database
from kasbah.hub.errors import (
    ForbiddenError,
    RecordNotFoundError,
    TakenError,
    UnprocessableError,
)
from kasbah.hub.groups.model import Role
from kasbah.hub.identity import User
from kasbah.hub.projects import store
from kasbah.hub.projects.model import (
    MOST_PROTECTED_BRANCHES,
    NewProtectedBranch,
    Project,
    ProtectedBranch,
)
from kasbah.hub.projects.service import ProjectService


class ProtectionService:
    """The protected branches of projects."""

    def __init__(self, database: Database, clock: Clock, projects: ProjectService) -> None:
        self._database = database
        self._clock = clock
        self._projects = projects

    async def list(self, caller: User, project: Project) -> list[ProtectedBranch]:
        """Every rule of the project, the oldest first.

        Raises:
            ForbiddenError: the caller is no developer.
        """
        await self._require(caller, project, Role.DEVELOPER)
        async with self._database.reading() as connection:
            return await store.list_protected_branches(connection, project.id)

    async def get(self, caller: User, project: Project, name: str) -> ProtectedBranch:
        """The rule of exactly this name or pattern."""
        for branch in await self.list(caller, project):
            if branch.name == name:
                return branch
        raise RecordNotFoundError

    async def protect(self, caller: User, project: Project, new: NewProtectedBranch) -> ProtectedBranch:
        """A new rule.

        Raises:
            ForbiddenError: the caller is no maintainer.
            UnprocessableError: the name breaks its rule, or the project has too many.
            TakenError: there is a rule of this name.
        """
        await self._require(caller, project, Role.MAINTAINER)
        if problems := new.problems():
            raise UnprocessableError("; ".join(problems))
        try:
            async with self._database.writing() as connection:
                known = await store.list_protected_branches(connection, project.id)
                if len(known) >= MOST_PROTECTED_BRANCHES:
                    raise UnprocessableError(
                        f"A project has at most {MOST_PROTECTED_BRANCHES} protected branches"
                    )
                return await store.protect(connection, project.id, new, self._clock())
        except IntegrityError as error:
            raise TakenError(f"Protected branch '{new.name}' already exists") from error

    async def unprotect(self, caller: User, project: Project, name: str) -> None:
        """Everybody with a developer's role may push there from now on, unless another rule fits."""
        await self._require(caller, project, Role.MAINTAINER)
        async with self._database.writing() as connection:
            if not await store.unprotect(connection, project.id, name):
                raise RecordNotFoundError

    async def _require(self, caller: User, project: Project, least: Role) -> None:
        if await self._projects.access_level(caller, project) < least:
            raise ForbiddenError
