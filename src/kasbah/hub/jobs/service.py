"""CI jobs: made by a member with the role for their ref, checked by their token, finished.

A token is good while its job runs, and only as long as the job's user could still start this very job: whoever is
blocked, loses the role, or may no longer push to a branch that became protected, takes the jobs along; and so does a
project that is archived. The check is
made anew each time; nothing is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from kasbah.hub.accounts import store as accounts_store
from kasbah.hub.clock import Clock
from kasbah.hub.database import Database
from kasbah.hub.errors import (
    ForbiddenError,
    InvalidError,
    NotFoundError,
    RecordNotFoundError,
    UnauthenticatedError,
)
from kasbah.hub.groups.model import Role
from kasbah.hub.identity import User
from kasbah.hub.jobs import store
from kasbah.hub.jobs.model import CHARACTERS, KEPT_DAYS, PREFIX, CallingJob, Job, NewJob
from kasbah.hub.projects import store as projects_store
from kasbah.hub.projects.model import Project, ProtectedBranch, may_run_on, protections_of
from kasbah.hub.projects.service import ProjectService
from kasbah.kit.secrets import Secret, fingerprint, generate_token

_LONGEST_CREDENTIAL = 1024


class JobService:
    """The life of CI jobs, and the check of their tokens."""

    def __init__(self, database: Database, clock: Clock, projects: ProjectService) -> None:
        self._database = database
        self._clock = clock
        self._projects = projects

    async def create(
        self, caller: User, project: Project, new: NewJob, for_user_id: int | None = None
    ) -> tuple[Job, Secret]:
        """A running job and its token, which is known now and never again.

        Args:
            caller: the job runs for this user, unless another is named.
            project: whose CI it is.
            new: what the job says of itself; whether its ref is protected is not its to say.
            for_user_id: for somebody else: administrators only.

        Raises:
            ForbiddenError: the job's user may not run jobs in the project, or not on this ref.
            InvalidError: a field breaks its rule.
            NotFoundError: there is no such user.
        """
        user = caller if for_user_id in {None, caller.id} else await self._other(caller, for_user_id or 0)
        level = await self._projects.access_level(user, project)
        if problems := new.problems():
            raise InvalidError(problems)
        now, secret = self._clock(), generate_token(PREFIX, CHARACTERS)
        async with self._database.writing() as connection:
            branches = await projects_store.list_protected_branches(connection, project.id)
            _require_may_run(user, project, new.ref, branches, level)
            await store.forget(connection, now - timedelta(days=KEPT_DAYS))
            job = await store.insert(
                connection,
                new,
                fingerprint(secret),
                project_id=project.id,
                user_id=user.id,
                protected=bool(protections_of(new.ref, branches)),
                now=now,
            )
        return job, secret

    async def _other(self, caller: User, user_id: int) -> User:
        if not caller.is_admin:
            raise ForbiddenError("Only administrators make tokens for jobs of somebody else")
        async with self._database.reading() as connection:
            user = await accounts_store.find_user(connection, user_id)
        if user is None:
            raise NotFoundError("User")
        return user

    async def authenticate(self, secret: Secret) -> CallingJob:
        """The job that shows this token, as things are now.

        Raises:
            UnauthenticatedError: unknown, finished, expired, or its user may not run it any more.
        """
        if len(secret.reveal()) > _LONGEST_CREDENTIAL:
            raise UnauthenticatedError
        async with self._database.reading() as connection:
            job = await store.find_by_token(connection, fingerprint(secret))
            if job is None or job.state(self._clock()) != "running":
                raise UnauthenticatedError
            user = await accounts_store.find_user(connection, job.user_id)
            project = await projects_store.find(connection, job.project_id)
            branches = await projects_store.list_protected_branches(connection, job.project_id)
        if user is None or project is None:
            raise UnauthenticatedError
        level = await self._projects.access_level(user, project)
        try:
            _require_may_run(user, project, job.ref, branches, level)
        except ForbiddenError as error:
            raise UnauthenticatedError from error
        protected = bool(protections_of(job.ref, branches))
        return CallingJob(job=job, project=project, user=user, level=level, protected=protected)

    async def list(
        self, caller: User, project: Project, *, limit: int, offset: int
    ) -> tuple[list[tuple[Job, User]], int]:
        """A page of the project's jobs with their users, the newest first.

        Raises:
            ForbiddenError: the caller is no developer.
        """
        await self._require(caller, project, Role.DEVELOPER)
        async with self._database.reading() as connection:
            jobs, total = await store.list_of_project(connection, project.id, limit=limit, offset=offset)
            users = await accounts_store.find_users(connection, [job.user_id for job in jobs])
        return [(job, users[job.user_id]) for job in jobs], total

    async def get(self, caller: User, project: Project, job_id: int) -> tuple[Job, User]:
        """One job of the project, for its developers.

        Raises:
            ForbiddenError: the caller is no developer.
            RecordNotFoundError: there is none.
        """
        await self._require(caller, project, Role.DEVELOPER)
        async with self._database.reading() as connection:
            job = await store.find(connection, project.id, job_id)
            user = await accounts_store.find_user(connection, job.user_id) if job else None
        if job is None or user is None:
            raise RecordNotFoundError
        return job, user

    async def finish(self, caller: User, project: Project, job_id: int) -> None:
        """The job's token is dead from now on; doing so twice is fine.

        Raises:
            ForbiddenError: the job is not the caller's, and the caller is no maintainer.
            RecordNotFoundError: there is none.
        """
        job, _ = await self.get(caller, project, job_id)
        if job.user_id != caller.id:
            await self._require(caller, project, Role.MAINTAINER)
        async with self._database.writing() as connection:
            await store.finish(connection, job.id, self._clock())

    async def _require(self, caller: User, project: Project, least: Role) -> None:
        if await self._projects.access_level(caller, project) < least:
            raise ForbiddenError


def _require_may_run(
    user: User, project: Project, ref: str, branches: Sequence[ProtectedBranch], level: int
) -> None:
    """Raise unless the user may start a job on this ref, and so may go on with one."""
    if project.archived or user.state != "active":
        raise ForbiddenError
    if level < Role.DEVELOPER:
        raise ForbiddenError(f"{user.username} runs no jobs here without the role developer")
    if not may_run_on(ref, branches, level=level, is_admin=user.is_admin):
        raise ForbiddenError(f"{ref} is protected, and the role of {user.username} may not run jobs on it")
