"""Who may use an agent through kas: the grants of its configuration file, and the answer to "may this person?".

The file's grants are kept as rows and replaced whole. A grant counts only inside the top-level namespace of the
agent's project, unless the instance allows more. Whatever is missing or not understood means no.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from kasbah.hub.agents import ci_access, store
from kasbah.hub.agents.ci_access import JobTerms
from kasbah.hub.agents.model import (
    AccessKind,
    Agent,
    Basis,
    EntityKind,
    Grants,
    basis_of,
    read_grants,
)
from kasbah.hub.agents.standing import ProxyUser, Standing
from kasbah.hub.agents.store import Authorization
from kasbah.hub.clock import Clock
from kasbah.hub.database import Database
from kasbah.hub.errors import RecordNotFoundError
from kasbah.hub.groups import store as groups_store
from kasbah.hub.identity import User
from kasbah.hub.projects import store as projects_store

_NO_AGENT: Final = 0
_NO_PROJECT: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedAgent:
    """An agent that a job may use."""

    agent: Agent
    project_path: str
    """Of the project that holds its configuration."""
    configuration: dict[str, Any]
    """The terms, as the configuration file says them."""
    basis: Basis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedAgent:
    """An agent that is shared with a job's project, but not with this job."""

    agent: Agent
    reason: str
    basis: Basis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAgents:
    """Every agent that is shared with a job's project, the nearest first."""

    allowed: tuple[AllowedAgent, ...]
    refused: tuple[RefusedAgent, ...]


class AccessService:
    """What configuration files grant, and to whom.

    Args:
        database: where the grants are kept.
        clock: memberships end on a date.
        share_anywhere: grants reach beyond the agent's top-level namespace (an instance setting of GitLab's).
    """

    def __init__(self, database: Database, clock: Clock, *, share_anywhere: bool = False) -> None:
        self._database = database
        self._clock = clock
        self._share_anywhere = share_anywhere

    async def replace_configuration(
        self,
        agent_id: int,
        configuration: dict[str, Any],
        *,
        lines: Mapping[str, int] | None = None,
        commit_id: str | None = None,
    ) -> None:
        """The agent's configuration file is now this one.

        Args:
            agent_id: whose.
            configuration: the parsed file.
            lines: where its entries begin, by their names (`ci_access.projects[0]`).
            commit_id: where it was read.

        Raises:
            RecordNotFoundError: there is no such agent.
        """
        grants = read_grants(configuration)
        user_access = None if grants.user_access is None else _encode(grants.user_access)
        async with self._database.writing() as connection:
            agent = await store.lock(connection, agent_id)
            if agent is None:
                raise RecordNotFoundError
            rows = [
                msgspec.structs.replace(row, line=(lines or {}).get(row.entry or ""), commit_id=commit_id)
                for row in await self._rows(connection, agent, grants)
            ]
            await store.replace_authorizations(connection, agent_id, user_access, rows)

    async def _rows(self, connection: AsyncConnection, agent: Agent, grants: Grants) -> list[Authorization]:
        root_id = None if self._share_anywhere else await _root_of(connection, agent)
        projects = await projects_store.find_ids_by_paths(connection, _paths(grants, "project"), root_id)
        groups = await groups_store.find_ids_by_paths(connection, _paths(grants, "group"), root_id)
        rows: dict[tuple[AccessKind, EntityKind, int], Authorization] = {}
        for grant in grants.entries:
            new = Authorization(access=grant.access, config=_encode(grant.config), entry=grant.entry)
            match grant.entity:
                case "project" if (found := projects.get(grant.path)) is not None:
                    row = msgspec.structs.replace(new, project_id=found)
                    rows.setdefault((grant.access, grant.entity, found), row)
                case "group" if (found := groups.get(grant.path)) is not None:
                    row = msgspec.structs.replace(new, group_id=found)
                    rows.setdefault((grant.access, grant.entity, found), row)
                case "instance" if self._share_anywhere:
                    rows.setdefault((grant.access, grant.entity, 0), new)
                case _:
                    pass  # unknown, or not ours to share with: skipped in silence, as GitLab does
        return list(rows.values())

    async def authorize(self, agent: Agent | None, user: User) -> ProxyUser:
        """As whom the user may use the agent.

        Raises:
            RecordNotFoundError: there is no such agent.
            ForbiddenError: the configuration does not let this user in; the reason names the keyword.
        """
        return (await self.standing(agent, user)).proxy_user()

    async def standing(self, agent: Agent | None, user: User) -> Standing:
        """What there is between an agent and a person.

        An absent agent costs the same queries as one that is not shared, so time tells nothing.
        """
        agent_id, today = agent.id if agent else _NO_AGENT, self._clock().date()
        async with self._database.reading() as connection:
            roles = await store.list_user_access_roles(
                connection,
                agent_id=agent_id,
                user_id=user.id,
                today=today,
                share_anywhere=self._share_anywhere,
            )
            level = await store.level_at_home(connection, agent_id=agent_id, user_id=user.id, today=today)
            home = await projects_store.find(connection, agent.project_id if agent else _NO_PROJECT)
        return Standing(agent=agent, home=home, user=user, level_at_home=level, roles=tuple(roles))

    async def agents_of_job(self, terms: JobTerms) -> JobAgents:
        """The agents that a job may use, and those that only its environment or branch keeps it from."""
        async with self._database.reading() as connection:
            shared = await store.list_of_jobs(connection, terms.project, share_anywhere=self._share_anywhere)
        allowed, refused = [], []
        for found in shared:
            basis = basis_of(found.agent, found.project_path, found.entry, found.line)
            configuration = msgspec.json.decode(found.config, type=dict[str, Any])
            if reason := ci_access.refusal(configuration, terms):
                where = f" ({basis})" if basis else ""
                refused.append(RefusedAgent(agent=found.agent, reason=f"{reason}{where}", basis=basis))
            else:
                configuration = ci_access.normal(configuration)
                allowed.append(
                    AllowedAgent(
                        agent=found.agent,
                        project_path=found.project_path,
                        configuration=configuration,
                        basis=basis,
                    )
                )
        return JobAgents(allowed=tuple(allowed), refused=tuple(refused))


async def _root_of(connection: AsyncConnection, agent: Agent) -> int:
    project = await projects_store.find(connection, agent.project_id)
    namespace = await groups_store.find(connection, project.namespace_id) if project else None
    if namespace is None:
        raise RecordNotFoundError
    return namespace.root_id


def _paths(grants: Grants, entity: EntityKind) -> list[str]:
    return [grant.path for grant in grants.entries if grant.entity == entity]


def _encode(config: dict[str, Any]) -> str:
    return msgspec.json.encode(config).decode()
