"""Projects: found, made together with their repository, and who holds which role in them."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy.exc import IntegrityError

from kasbah.hub.clock import Clock
from kasbah.hub.database import Database
from kasbah.hub.errors import FieldsInvalidError, NotFoundError
from kasbah.hub.groups import store as groups_store
from kasbah.hub.groups.model import NO_ACCESS, Namespace, Role
from kasbah.hub.groups.service import GroupService
from kasbah.hub.identity import User
from kasbah.hub.projects import store
from kasbah.hub.projects.model import (
    BRANCH_REF,
    NewProject,
    NewProtectedBranch,
    Project,
    ProtectedBranch,
    protections_of,
)

_ROW_NOT_WRITTEN_YET = 0


class RepositoryCreator(Protocol):
    """Where the repositories lie; the embedded Git implements it."""

    async def create(self, project_id: int, default_branch: str) -> None:
        """Make an empty repository, durable when this returns.

        Called inside the transaction that makes the project, so it must not ask the database for anything. A crash
        before the commit leaves a directory whose number is given out again: an old one is replaced.
        """

    async def delete(self, project_id: int) -> None:
        """Remove the repository, if there is one."""


class ProjectService:
    """Projects, and roles in them."""

    def __init__(
        self, database: Database, clock: Clock, groups: GroupService, repositories: RepositoryCreator
    ) -> None:
        self._database = database
        self._clock = clock
        self._groups = groups
        self._repositories = repositories

    async def find(self, project_id: int) -> Project | None:
        async with self._database.reading() as connection:
            return await store.find(connection, project_id)

    async def find_by_path(self, full_path: str) -> Project | None:
        """The project with this full path; capitals do not matter."""
        async with self._database.reading() as connection:
            return await store.find_by_path(connection, full_path)

    async def get(self, caller: User | None, reference: int | str) -> Project:
        """The project with this number or full path, if the caller may see it.

        Raises:
            NotFoundError: there is none, or not for this caller.
        """
        found = await (self.find(reference) if isinstance(reference, int) else self.find_by_path(reference))
        if found is None or not await self.can_read(caller, found):
            raise NotFoundError("Project")
        return found

    async def access_level(self, user: User | None, project: Project) -> int:
        """The user's role, 0 for none; administrators own everything.

        Public and internal projects are readable without a role: ask `can_read`.
        """
        if user is None:
            return NO_ACCESS
        if user.is_admin:
            return Role.OWNER
        async with self._database.reading() as connection:
            return await store.access_level(connection, user.id, project, self._clock().date())

    async def can_read(self, user: User | None, project: Project) -> bool:
        """By a role, or because everybody (internal: everybody signed in) may."""
        if project.visibility == "public" or (project.visibility == "internal" and user is not None):
            return True
        return await self.access_level(user, project) > NO_ACCESS

    async def levels(self, user: User, project: Project, namespace: Namespace) -> tuple[int, int]:
        """The roles given in the project itself and above it, 0 for none; without an administrator's privilege."""
        today = self._clock().date()
        async with self._database.reading() as connection:
            direct = await store.members.find(connection, project.id, user.id)
            inherited = await groups_store.access_level(connection, user.id, namespace.id, today)
        if namespace.kind == "user":
            return inherited, NO_ACCESS  # GitLab shows the owner of a personal project as its member
        return direct.access_level if direct else NO_ACCESS, inherited

    async def namespace_of(self, project: Project) -> Namespace:
        namespace = await self._groups.find_namespace(project.namespace_id)
        if namespace is None:
            raise NotFoundError("Namespace")
        return namespace

    async def create(self, caller: User, new: NewProject) -> Project:
        """A new project with its empty repository: a project that can be seen has one.

        Raises:
            FieldsInvalidError: a field breaks its rule, the namespace is not the caller's to build in, the path is taken.
        """
        namespace = await self._namespace_for(caller, new)
        if problems := new.problems(namespace.full_path):
            raise FieldsInvalidError(problems)
        now = self._clock()
        project = Project(
            id=_ROW_NOT_WRITTEN_YET,
            namespace_id=namespace.id,
            name=new.name,
            path=new.path,
            full_path=f"{namespace.full_path}/{new.path}",
            description=new.description,
            visibility=new.visibility,
            default_branch=new.default_branch,
            archived=False,
            creator_id=caller.id,
            created_at=now,
            updated_at=now,
            last_activity_at=now,
        )
        try:
            async with self._database.writing() as connection:
                project = await store.insert(connection, project)
                protected = NewProtectedBranch(name=project.default_branch)
                await store.protect(connection, project.id, protected, now)
                # Other writers wait for this one directory; the alternative is a project without a repository.
                await self._repositories.create(project.id, project.default_branch)
        except IntegrityError as error:
            taken = ["has already been taken"]
            raise FieldsInvalidError({"name": taken, "path": taken}) from error
        return project

    async def _namespace_for(self, caller: User, new: NewProject) -> Namespace:
        if new.namespace_id is None:
            return await self._groups.find_of_user(caller)
        namespace = await self._groups.find_namespace(new.namespace_id)
        if namespace is None or await self._groups.access_level(caller, namespace) < Role.DEVELOPER:
            raise FieldsInvalidError({"namespace": ["is not valid"]})
        return namespace

    async def protected_branches(self, project_id: int) -> list[ProtectedBranch]:
        """Every rule about the project's branches, whoever asks: for those who decide by them."""
        async with self._database.reading() as connection:
            return await store.list_protected_branches(connection, project_id)

    async def list(
        self,
        caller: User | None,
        *,
        search: str | None,
        namespace_id: int | None,
        membership: bool,
        limit: int,
        offset: int,
    ) -> tuple[list[Project], int]:
        async with self._database.reading() as connection:
            return await store.list_projects(
                connection,
                caller,
                today=self._clock().date(),
                search=search,
                namespace_id=namespace_id,
                membership=membership,
                limit=limit,
                offset=offset,
            )

    async def touch(self, project_id: int) -> None:
        """Something happened in the project: its last activity is now."""
        async with self._database.writing() as connection:
            await store.touch(connection, project_id, self._clock())

    async def set_default_branch(self, project_id: int, branch: str) -> None:
        """Follow the repository, whose first push may go to a branch of another name; it is protected from then on."""
        async with self._database.writing() as connection:
            await store.set_default_branch(connection, project_id, branch)
            protected = await store.list_protected_branches(connection, project_id)
            if not protections_of(f"{BRANCH_REF}{branch}", protected):
                await store.protect(connection, project_id, NewProtectedBranch(name=branch), self._clock())

    async def delete(self, project: Project) -> None:
        """The project with everything in it; the repository goes after the row, so no row lacks one."""
        async with self._database.writing() as connection:
            await store.delete(connection, project.id)
        await self._repositories.delete(project.id)
