"""Who may use an agent through kas: the grants of its configuration file, and the answer to "may this person?".

The file's grants are kept as rows and replaced whole. A grant counts only inside the top-level namespace of the
agent's project, unless the instance allows more. Whatever is missing or not understood means no.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from kasbah.hub.agents import store
from kasbah.hub.agents.model import AccessKind, Agent, EntityKind, Grants, RoleAt, read_grants
from kasbah.hub.agents.store import Authorization
from kasbah.hub.clock import Clock
from kasbah.hub.database import Database
from kasbah.hub.errors import ForbiddenError, RecordNotFoundError
from kasbah.hub.groups import store as groups_store
from kasbah.hub.groups.model import Role
from kasbah.hub.identity import User
from kasbah.hub.projects import store as projects_store

_NO_AGENT: Final = 0
_NO_KEYWORD: Final = "`user_access` keyword is not found in agent config file."
_NOT_ONCE: Final = "`access_as` must exist only once under the `user_access` keyword."
_NO_MEMBER: Final = "You must be a member of `projects` or `groups` under the `user_access` keyword."


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyUser:
    """A person may use an agent, and as whom."""

    agent: Agent
    user: User
    access_as: Literal["agent", "user"]
    roles: tuple[RoleAt, ...]


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

    async def replace_configuration(self, agent_id: int, configuration: dict[str, Any]) -> None:
        """The agent's configuration file is now this one.

        Raises:
            RecordNotFoundError: there is no such agent.
        """
        grants = read_grants(configuration)
        user_access = None if grants.user_access is None else _encode(grants.user_access)
        async with self._database.writing() as connection:
            agent = await store.lock(connection, agent_id)
            if agent is None:
                raise RecordNotFoundError
            rows = await self._rows(connection, agent, grants)
            await store.replace_authorizations(connection, agent_id, user_access, rows)

    async def _rows(self, connection: AsyncConnection, agent: Agent, grants: Grants) -> list[Authorization]:
        root_id = None if self._share_anywhere else await _root_of(connection, agent)
        projects = await projects_store.find_ids_by_paths(connection, _paths(grants, "project"), root_id)
        groups = await groups_store.find_ids_by_paths(connection, _paths(grants, "group"), root_id)
        rows: dict[tuple[AccessKind, EntityKind, int], Authorization] = {}
        for grant in grants.entries:
            match grant.entity:
                case "project" if (found := projects.get(grant.path)) is not None:
                    row = Authorization(access=grant.access, project_id=found, config=_encode(grant.config))
                    rows.setdefault((grant.access, grant.entity, found), row)
                case "group" if (found := groups.get(grant.path)) is not None:
                    row = Authorization(access=grant.access, group_id=found, config=_encode(grant.config))
                    rows.setdefault((grant.access, grant.entity, found), row)
                case "instance" if self._share_anywhere:
                    row = Authorization(access=grant.access, config=_encode(grant.config))
                    rows.setdefault((grant.access, grant.entity, 0), row)
                case _:
                    pass  # unknown, or not ours to share with: skipped in silence, as GitLab does
        return list(rows.values())

    async def authorize(self, agent: Agent | None, user: User) -> ProxyUser:
        """As whom the user may use the agent.

        An absent agent costs the same queries as one that is not shared, so time tells nothing.

        Raises:
            RecordNotFoundError: there is no such agent.
            ForbiddenError: the configuration does not let this user in; the reason names the keyword.
        """
        async with self._database.reading() as connection:
            roles = await store.list_user_access_roles(
                connection,
                agent_id=agent.id if agent else _NO_AGENT,
                user_id=user.id,
                least_level=Role.DEVELOPER,
                today=self._clock().date(),
            )
        if agent is None:
            raise RecordNotFoundError
        access_as = _access_as(agent)
        if not roles:
            raise ForbiddenError(_NO_MEMBER, verbatim=True)
        return ProxyUser(agent=agent, user=user, access_as=access_as, roles=tuple(roles))


def _access_as(agent: Agent) -> Literal["agent", "user"]:
    if agent.user_access is None:
        raise ForbiddenError(_NO_KEYWORD, verbatim=True)
    section = msgspec.json.decode(agent.user_access, type=dict[str, Any])
    chosen = section.get("access_as")
    if chosen is None:
        return "agent"  # the default since GitLab 18.3
    if not isinstance(chosen, dict) or len(chosen) != 1:
        raise ForbiddenError(_NOT_ONCE, verbatim=True)
    match next(iter(chosen)):
        case "agent":
            return "agent"
        case "user":
            return "user"
        case _:
            raise ForbiddenError


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
