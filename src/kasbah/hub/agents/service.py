"""Agents: made, listed and deleted by people with the right role in their project.

Who may not use an agent does not learn whether it exists.
"""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from kasbah.hub.agents import store
from kasbah.hub.agents.model import Agent, name_problems
from kasbah.hub.clock import Clock
from kasbah.hub.database import Database
from kasbah.hub.errors import ForbiddenError, InvalidError, NotFoundError, RecordNotFoundError
from kasbah.hub.groups.model import Role
from kasbah.hub.identity import User
from kasbah.hub.projects.model import Project
from kasbah.hub.projects.service import ProjectService

_ROW_NOT_WRITTEN_YET = 0


class AgentService:
    """The agents of projects."""

    def __init__(
        self, database: Database, clock: Clock, projects: ProjectService, *, share_anywhere: bool = False
    ) -> None:
        """`share_anywhere`: as `AccessService` has it."""
        self._share_anywhere = share_anywhere
        self._database = database
        self._clock = clock
        self._projects = projects

    async def create(self, caller: User, project: Project, name: str) -> Agent:
        """A new agent of the project.

        Raises:
            ForbiddenError: the caller is no maintainer.
            InvalidError: the name breaks its rule, or the project has an agent of this name.
        """
        await self.require_maintainer(caller, project)
        if problems := name_problems(name):
            raise InvalidError(problems)
        now = self._clock()
        agent = Agent(
            id=_ROW_NOT_WRITTEN_YET,
            project_id=project.id,
            name=name,
            created_by_user_id=caller.id,
            created_at=now,
            updated_at=now,
            user_access=None,
        )
        try:
            async with self._database.writing() as connection:
                return await store.insert(connection, agent)
        except IntegrityError as error:
            raise InvalidError(["Name has already been taken"]) from error

    async def require_maintainer(self, caller: User, project: Project) -> None:
        if await self._projects.access_level(caller, project) < Role.MAINTAINER:
            raise ForbiddenError

    async def list(
        self, caller: User | None, project: Project, *, limit: int, offset: int
    ) -> tuple[list[Agent], int]:
        """A page of the project's agents, by name.

        Raises:
            NotFoundError: the caller is no developer of the project.
        """
        if await self._projects.access_level(caller, project) < Role.DEVELOPER:
            raise NotFoundError("ClusterAgents")
        async with self._database.reading() as connection:
            return await store.list_of_project(connection, project.id, limit=limit, offset=offset)

    async def get(self, caller: User, project: Project, agent_id: int) -> Agent:
        """The agent, for developers of its project and for those it is shared with.

        Raises:
            RecordNotFoundError: there is none, or not for this caller.
        """
        level = await self._projects.access_level(caller, project)
        async with self._database.reading() as connection:
            agent = await store.find(connection, agent_id)
            shared = level >= Role.DEVELOPER or await store.may_use_any_shared(
                connection,
                agent_id=agent_id,
                user_id=caller.id,
                least_level=Role.DEVELOPER,
                today=self._clock().date(),
                share_anywhere=self._share_anywhere,
            )
        if agent is None or agent.project_id != project.id or not shared:
            raise RecordNotFoundError
        return agent

    async def find(self, agent_id: int) -> Agent | None:
        """The agent, whoever asks: for kas."""
        async with self._database.reading() as connection:
            return await store.find(connection, agent_id)

    async def delete(self, agent: Agent) -> None:
        """The agent with its tokens and authorisations; the cluster is not touched."""
        async with self._database.writing() as connection:
            await store.delete(connection, agent.id)
