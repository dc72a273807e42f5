"""Agents, agent tokens and authorisations in SQL.

A token is found by the SHA-256 of its value and only while it is active. The limit of active tokens is decided under a
lock of the agent's row (on SQLite by the one writer), so two requests cannot both be the second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from kasbah.hub.agents.model import AccessKind, Agent, AgentToken, NewAgentToken, RoleAt
from kasbah.hub.database import Id, UtcDateTime, metadata, primary_key
from kasbah.hub.groups.store import ancestors_of, highest, levels_of, namespaces, routes, unexpired
from kasbah.hub.projects.model import Project
from kasbah.hub.projects.store import project_members, projects

agents = sa.Table(
    "agents",
    metadata,
    primary_key(),
    sa.Column("project_id", Id, sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    sa.Column("name", sa.String(63), nullable=False),
    sa.Column("created_by_user_id", Id, sa.ForeignKey("users.id", ondelete="SET NULL")),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("updated_at", UtcDateTime(), nullable=False),
    sa.Column("user_access", sa.Text()),
    sa.UniqueConstraint("project_id", "name"),
    sqlite_autoincrement=True,
)

tokens = sa.Table(
    "agent_tokens",
    metadata,
    primary_key(),
    sa.Column("agent_id", Id, sa.ForeignKey("agents.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("description", sa.String(1024)),
    sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("created_by_user_id", Id, sa.ForeignKey("users.id", ondelete="SET NULL")),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("last_used_at", UtcDateTime()),
    sqlite_autoincrement=True,
)

authorizations = sa.Table(
    "agent_authorizations",
    metadata,
    primary_key(),
    sa.Column("agent_id", Id, sa.ForeignKey("agents.id", ondelete="CASCADE"), nullable=False),
    sa.Column("access", sa.String(16), nullable=False),
    # Neither: every project of the instance.
    sa.Column("project_id", Id, sa.ForeignKey("projects.id", ondelete="CASCADE"), index=True),
    sa.Column("group_id", Id, sa.ForeignKey("namespaces.id", ondelete="CASCADE"), index=True),
    sa.Column("config", sa.Text(), nullable=False),
    # Which entry of which version of the file this is; None when kas did not say.
    sa.Column("entry", sa.String(64)),
    sa.Column("line", sa.Integer()),
    sa.Column("commit_id", sa.String(64)),
    sa.UniqueConstraint("agent_id", "access", "project_id"),
    sa.UniqueConstraint("agent_id", "access", "group_id"),
    sqlite_autoincrement=True,
)

_TOKEN_COLUMNS = [column for column in tokens.c if column.name != "token_hash"]


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """A row to be written: exactly one of the two ids, or none for the instance."""

    access: AccessKind
    project_id: int | None = None
    group_id: int | None = None
    config: str
    entry: str | None = None
    line: int | None = None
    commit_id: str | None = None


class SharedAgent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that a project's jobs reach, and the one entry that decides on which terms."""

    agent: Agent
    project_path: str
    config: str
    entry: str | None
    line: int | None


def _agent(row: RowMapping) -> Agent:
    return Agent(**row)


def _token(row: RowMapping) -> AgentToken:
    return AgentToken(**{column.name: row[column.name] for column in _TOKEN_COLUMNS})


async def insert(connection: AsyncConnection, new: Agent) -> Agent:
    """The agent with its number. Raises sqlalchemy's IntegrityError when the project has one of this name."""
    values = {column.name: getattr(new, column.name) for column in agents.c if column.name != "id"}
    inserted = await connection.execute(agents.insert().values(values).returning(agents.c.id))
    return replace(new, id=inserted.scalar_one())


async def find(connection: AsyncConnection, agent_id: int) -> Agent | None:
    row = (
        (await connection.execute(sa.select(agents).where(agents.c.id == agent_id))).mappings().one_or_none()
    )
    return _agent(row) if row else None


async def lock(connection: AsyncConnection, agent_id: int) -> Agent | None:
    """The agent, kept from changing until the transaction ends."""
    statement = sa.select(agents).where(agents.c.id == agent_id).with_for_update()
    row = (await connection.execute(statement)).mappings().one_or_none()
    return _agent(row) if row else None


async def list_of_project(
    connection: AsyncConnection, project_id: int, *, limit: int, offset: int
) -> tuple[list[Agent], int]:
    """A page of a project's agents by name, and their number."""
    chosen = sa.select(agents).where(agents.c.project_id == project_id)
    total = await connection.scalar(sa.select(sa.func.count()).select_from(chosen.subquery()))
    rows = await connection.execute(chosen.order_by(agents.c.name).limit(limit).offset(offset))
    return [_agent(row) for row in rows.mappings()], total or 0


async def delete(connection: AsyncConnection, agent_id: int) -> None:
    """With its tokens and authorisations: foreign keys cascade."""
    await connection.execute(agents.delete().where(agents.c.id == agent_id))


async def insert_token(
    connection: AsyncConnection,
    agent_id: int,
    new: NewAgentToken,
    token_hash: str,
    *,
    user_id: int,
    now: datetime,
) -> AgentToken:
    statement = tokens.insert().values(
        agent_id=agent_id,
        name=new.name,
        description=new.description,
        token_hash=token_hash,
        status="active",
        created_by_user_id=user_id,
        created_at=now,
    )
    row = (await connection.execute(statement.returning(*_TOKEN_COLUMNS))).mappings().one()
    return _token(row)


async def count_active_tokens(connection: AsyncConnection, agent_id: int) -> int:
    counted = sa.select(sa.func.count()).where(tokens.c.agent_id == agent_id, tokens.c.status == "active")
    return await connection.scalar(counted) or 0


async def list_active_tokens(connection: AsyncConnection, agent_id: int) -> list[AgentToken]:
    """All of them: there are at most two."""
    rows = await connection.execute(
        sa.select(*_TOKEN_COLUMNS).where(tokens.c.agent_id == agent_id, tokens.c.status == "active")
    )
    return [_token(row) for row in rows.mappings()]


async def find_token(connection: AsyncConnection, agent_id: int, token_id: int) -> AgentToken | None:
    """The token of this agent, active or revoked."""
    rows = await connection.execute(
        sa.select(*_TOKEN_COLUMNS).where(tokens.c.id == token_id, tokens.c.agent_id == agent_id)
    )
    row = rows.mappings().one_or_none()
    return _token(row) if row else None


async def find_active_token(connection: AsyncConnection, token_hash: str) -> AgentToken | None:
    rows = await connection.execute(
        sa.select(*_TOKEN_COLUMNS).where(tokens.c.token_hash == token_hash, tokens.c.status == "active")
    )
    row = rows.mappings().one_or_none()
    return _token(row) if row else None


async def revoke_token(connection: AsyncConnection, token_id: int) -> None:
    await connection.execute(tokens.update().where(tokens.c.id == token_id).values(status="revoked"))


async def write_token_last_used(connection: AsyncConnection, token_id: int, at: datetime) -> None:
    await connection.execute(tokens.update().where(tokens.c.id == token_id).values(last_used_at=at))


async def replace_authorizations(
    connection: AsyncConnection, agent_id: int, user_access: str | None, rows: Iterable[Authorization]
) -> None:
    """What the configuration grants from now on, and nothing else."""
    await connection.execute(authorizations.delete().where(authorizations.c.agent_id == agent_id))
    values = [{"agent_id": agent_id, **msgspec.structs.asdict(row)} for row in rows]
    if values:
        await connection.execute(authorizations.insert(), values)
    await connection.execute(agents.update().where(agents.c.id == agent_id).values(user_access=user_access))


async def list_authorizations(connection: AsyncConnection, agent_id: int) -> list[Authorization]:
    rows = await connection.execute(
        sa.select(authorizations).where(authorizations.c.agent_id == agent_id).order_by(authorizations.c.id)
    )
    fields = Authorization.__struct_fields__
    return [Authorization(**{name: row[name] for name in fields}) for row in rows.mappings()]


async def list_of_jobs(
    connection: AsyncConnection, project: Project, *, share_anywhere: bool
) -> list[SharedAgent]:
    """The agents that are shared with a project's jobs, in GitLab's order of precedence.

    One statement decides: an entry for the project wins over being the agent's own project, which wins over the
    nearest group, …, the top-level group, and the whole instance; and an agent outside the project's top-level
    namespace counts only where the instance allows it.
    """
    ways = _ways_to(project, share_anywhere=share_anywhere).subquery()
    precedence = (ways.c.rank, ways.c.depth, ways.c.authorization_id)
    place = sa.func.row_number().over(partition_by=ways.c.agent_id, order_by=precedence).label("place")
    first = sa.select(ways, place).subquery()
    chosen = (
        sa.select(*agents.c, routes.c.path, first.c.config, first.c.entry, first.c.line)
        .join(first, first.c.agent_id == agents.c.id)
        .join(projects, projects.c.id == agents.c.project_id)
        .join(routes, routes.c.project_id == projects.c.id)
        .where(first.c.place == 1)
        .order_by(first.c.rank, first.c.depth, agents.c.id)
    )
    if not share_anywhere:
        chosen = chosen.where(projects.c.namespace_id.in_(_below_the_same_root(project.namespace_id)))
    rows = await connection.execute(chosen)
    return [
        SharedAgent(
            agent=Agent(**{column.name: row[column.name] for column in agents.c}),
            project_path=row["path"],
            config=row["config"],
            entry=row["entry"],
            line=row["line"],
        )
        for row in rows.mappings()
    ]


def _ways_to(project: Project, *, share_anywhere: bool) -> sa.CompoundSelect[Any]:
    """Every entry that names the project, a group above it or the instance; and its own agents, which need none."""
    above = ancestors_of(project.namespace_id)
    table = authorizations.c
    whole_instance = sa.and_(table.project_id.is_(None), table.group_id.is_(None))
    named = sa.or_(table.project_id == project.id, above.c.id.is_not(None))
    rank = sa.case((table.project_id.is_not(None), 0), (table.group_id.is_not(None), 2), else_=3)
    shared = (
        sa.select(
            table.agent_id,
            table.id.label("authorization_id"),
            table.config,
            table.entry,
            table.line,
            rank.label("rank"),
            sa.func.coalesce(above.c.depth, 0).label("depth"),
        )
        .outerjoin(above, above.c.id == table.group_id)
        .where(table.access == "ci_access", sa.or_(named, whole_instance) if share_anywhere else named)
    )
    own = sa.select(
        agents.c.id,
        sa.literal(0),
        sa.literal("{}"),
        sa.literal("implicit"),
        sa.literal(0),
        sa.literal(1),
        sa.literal(0),
    ).where(agents.c.project_id == project.id)
    return sa.union_all(shared, own)


async def list_user_access_roles(
    connection: AsyncConnection, *, agent_id: int, user_id: int, today: date, share_anywhere: bool
) -> list[RoleAt]:
    """The user's roles in what `user_access` shares the agent with, in the order of the configuration.

    What lies outside the top-level namespace of the agent's project counts only where the instance allows it. One
    statement decides on the pairs (what is shared, who is a member), so no pair is mixed up in between.
    """
    levels = levels_of(user_id, today)
    shared = sa.and_(authorizations.c.agent_id == agent_id, authorizations.c.access == "user_access")
    ways = sa.union_all(
        sa.select(authorizations.c.id, levels.c.level)
        .join(levels, levels.c.id == authorizations.c.group_id)
        .where(shared),
        sa.select(authorizations.c.id, levels.c.level)
        .join(projects, projects.c.id == authorizations.c.project_id)
        .join(levels, levels.c.id == projects.c.namespace_id)
        .where(shared),
        sa.select(authorizations.c.id, project_members.c.access_level.label("level"))
        .join(project_members, project_members.c.project_id == authorizations.c.project_id)
        .where(shared, project_members.c.user_id == user_id, unexpired(project_members, today)),
    ).subquery()
    level = sa.func.max(ways.c.level)
    roles = sa.select(ways.c.id, level.label("level")).group_by(ways.c.id).subquery()
    at = sa.or_(
        routes.c.project_id == authorizations.c.project_id, routes.c.namespace_id == authorizations.c.group_id
    )
    chosen = (
        sa.select(authorizations, roles.c.level, routes.c.path)
        .join(roles, roles.c.id == authorizations.c.id)
        .join(routes, at)
        .order_by(authorizations.c.id)
    )
    if not share_anywhere:
        chosen = chosen.where(_inside_the_border(agent_id))
    rows = await connection.execute(chosen)
    return [_role(row) for row in rows.mappings()]


def _inside_the_border(agent_id: int) -> sa.ColumnElement[bool]:
    """Whether an authorisation is for something below the top-level namespace of the agent's project."""
    home_id = sa.select(projects.c.namespace_id).join(agents, agents.c.project_id == projects.c.id)
    own = _below_the_same_root(home_id.where(agents.c.id == agent_id).scalar_subquery())
    inside = sa.select(projects.c.id).where(projects.c.namespace_id.in_(own))
    return sa.or_(authorizations.c.group_id.in_(own), authorizations.c.project_id.in_(inside))


def _below_the_same_root(namespace_id: int | sa.ScalarSelect[int]) -> sa.Select[tuple[int]]:
    """The ids of the namespaces that share a top-level one with this."""
    root_id = sa.select(namespaces.c.root_id).where(namespaces.c.id == namespace_id)
    same = namespaces.alias()
    return sa.select(same.c.id).where(same.c.root_id == root_id.scalar_subquery())


def _role(row: RowMapping) -> RoleAt:
    in_project = row["project_id"] is not None
    return RoleAt(
        entity="project" if in_project else "group",
        id=row["project_id"] if in_project else row["group_id"],
        level=row["level"],
        path=row["path"],
        entry=row["entry"],
        line=row["line"],
    )


async def level_at_home(connection: AsyncConnection, *, agent_id: int, user_id: int, today: date) -> int:
    """The user's highest role in the agent's own project; 0 for none, and for an agent that is not there."""
    levels = levels_of(user_id, today)
    home = sa.select(projects.c.id, projects.c.namespace_id).join(
        agents, agents.c.project_id == projects.c.id
    )
    own = home.where(agents.c.id == agent_id).subquery()
    return await highest(
        connection,
        [
            sa.select(levels.c.level).join(own, own.c.namespace_id == levels.c.id),
            sa.select(project_members.c.access_level.label("level"))
            .join(own, own.c.id == project_members.c.project_id)
            .where(project_members.c.user_id == user_id, unexpired(project_members, today)),
        ],
    )


async def may_use_any_shared(
    connection: AsyncConnection,
    *,
    agent_id: int,
    user_id: int,
    least_level: int,
    today: date,
    share_anywhere: bool,
) -> bool:
    """Whether the agent is shared, in either way, with something in which the user has this level."""
    levels = levels_of(user_id, today)
    enough = sa.select(levels.c.id).where(levels.c.level >= least_level)
    member = sa.select(project_members.c.project_id).where(
        project_members.c.user_id == user_id,
        project_members.c.access_level >= least_level,
        unexpired(project_members, today),
    )
    inherited = sa.select(projects.c.id).where(projects.c.namespace_id.in_(enough))
    named = sa.or_(
        authorizations.c.group_id.in_(enough),
        authorizations.c.project_id.in_(member),
        authorizations.c.project_id.in_(inherited),
    )
    chosen = sa.select(authorizations.c.id).where(authorizations.c.agent_id == agent_id, named)
    if not share_anywhere:
        chosen = chosen.where(_inside_the_border(agent_id))
    return (await connection.execute(chosen.limit(1))).first() is not None
