"""Projects and project memberships in SQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from kasbah.hub.database import Id, UtcDateTime, metadata, primary_key
from kasbah.hub.groups import store as groups_store
from kasbah.hub.groups.store import MemberStore, insert_route, levels_of, routes, unexpired
from kasbah.hub.identity import User
from kasbah.hub.projects.model import NewProtectedBranch, Project, ProtectedBranch

projects = sa.Table(
    "projects",
    metadata,
    primary_key(),
    sa.Column(
        "namespace_id", Id, sa.ForeignKey("namespaces.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("path", sa.String(255), nullable=False),
    sa.Column("description", sa.Text()),
    sa.Column("visibility", sa.String(16), nullable=False),
    sa.Column("default_branch", sa.String(255), nullable=False),
    sa.Column("archived", sa.Boolean(), nullable=False),
    sa.Column("creator_id", Id, sa.ForeignKey("users.id", ondelete="SET NULL")),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("updated_at", UtcDateTime(), nullable=False),
    sa.Column("last_activity_at", UtcDateTime(), nullable=False),
    sqlite_autoincrement=True,
)

project_members = sa.Table(
    "project_members",
    metadata,
    primary_key(),
    sa.Column("project_id", Id, sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("user_id", Id, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("access_level", sa.Integer(), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("expires_at", sa.Date()),
    sa.UniqueConstraint("project_id", "user_id"),
    sqlite_autoincrement=True,
)

protected_branches = sa.Table(
    "protected_branches",
    metadata,
    primary_key(),
    sa.Column("project_id", Id, sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("push_access_level", sa.Integer(), nullable=False),
    sa.Column("merge_access_level", sa.Integer(), nullable=False),
    sa.Column("allow_force_push", sa.Boolean(), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.UniqueConstraint("project_id", "name"),
    sqlite_autoincrement=True,
)

members = MemberStore(project_members, "project_id")

_SELECT = sa.select(*projects.c, routes.c.path.label("full_path")).join(
    routes, routes.c.project_id == projects.c.id
)


def _project(row: RowMapping) -> Project:
    return Project(**row)


async def insert(connection: AsyncConnection, new: Project) -> Project:
    """The project with its number. Raises sqlalchemy's IntegrityError when the path is taken."""
    values = {column.name: getattr(new, column.name) for column in projects.c if column.name != "id"}
    inserted = await connection.execute(projects.insert().values(values).returning(projects.c.id))
    project = replace(new, id=inserted.scalar_one())
    await insert_route(connection, project.full_path, project_id=project.id)
    return project


async def find(connection: AsyncConnection, project_id: int) -> Project | None:
    row = (await connection.execute(_SELECT.where(projects.c.id == project_id))).mappings().one_or_none()
    return _project(row) if row else None


async def find_by_path(connection: AsyncConnection, full_path: str) -> Project | None:
    rows = await connection.execute(_SELECT.where(routes.c.path_lower == full_path.lower()))
    row = rows.mappings().one_or_none()
    return _project(row) if row else None


async def find_ids_by_paths(
    connection: AsyncConnection, full_paths: list[str], root_id: int | None
) -> dict[str, int]:
    """Project ids by lower-case full path, of those below one top-level namespace (None: anywhere)."""
    chosen = (
        sa.select(routes.c.path_lower, projects.c.id)
        .join(projects, projects.c.id == routes.c.project_id)
        .where(routes.c.path_lower.in_([path.lower() for path in full_paths]))
    )
    if root_id is not None:
        namespaces = groups_store.namespaces
        chosen = chosen.join(namespaces, namespaces.c.id == projects.c.namespace_id).where(
            namespaces.c.root_id == root_id
        )
    return {row[0]: row[1] for row in await connection.execute(chosen)}


async def access_level(connection: AsyncConnection, user_id: int, project: Project, today: date) -> int:
    """The highest role the user holds in the project or above it; 0 for none."""
    given = sa.select(project_members.c.access_level.label("level")).where(
        project_members.c.project_id == project.id,
        project_members.c.user_id == user_id,
        unexpired(project_members, today),
    )
    inherited = groups_store.granted_levels(user_id, project.namespace_id, today)
    return await groups_store.highest(connection, [given, *inherited])


def ids_of_member(user_id: int, today: date) -> sa.Select[tuple[int]]:
    """The ids of projects in which the user has a role, given there or further up."""
    namespaces = levels_of(user_id, today)
    direct = sa.select(project_members.c.project_id).where(
        project_members.c.user_id == user_id, unexpired(project_members, today)
    )
    return sa.select(projects.c.id).where(
        sa.or_(projects.c.namespace_id.in_(sa.select(namespaces.c.id)), projects.c.id.in_(direct))
    )


def _visible(user: User | None, today: date) -> sa.Select[Any]:
    if user is None:
        return _SELECT.where(projects.c.visibility == "public")
    if user.is_admin:
        return _SELECT
    return _SELECT.where(
        sa.or_(
            projects.c.visibility.in_(("public", "internal")),
            projects.c.id.in_(ids_of_member(user.id, today)),
        )
    )


async def list_projects(
    connection: AsyncConnection,
    user: User | None,
    *,
    today: date,
    search: str | None,
    namespace_id: int | None,
    membership: bool,
    limit: int,
    offset: int,
) -> tuple[list[Project], int]:
    """A page of the projects the user may see, newest first, and their number."""
    chosen = _visible(user, today)
    if search is not None:
        pattern = search.lower()
        chosen = chosen.where(
            sa.or_(
                sa.func.lower(projects.c.name).contains(pattern, autoescape=True),
                routes.c.path_lower.contains(pattern, autoescape=True),
            )
        )
    if namespace_id is not None:
        chosen = chosen.where(projects.c.namespace_id == namespace_id)
    if membership and user is not None:
        chosen = chosen.where(projects.c.id.in_(ids_of_member(user.id, today)))
    total = await connection.scalar(sa.select(sa.func.count()).select_from(chosen.subquery()))
    rows = await connection.execute(chosen.order_by(projects.c.id.desc()).limit(limit).offset(offset))
    return [_project(row) for row in rows.mappings()], total or 0


async def touch(connection: AsyncConnection, project_id: int, now: datetime) -> None:
    await connection.execute(
        projects.update().where(projects.c.id == project_id).values(last_activity_at=now)
    )


async def set_default_branch(connection: AsyncConnection, project_id: int, branch: str) -> None:
    await connection.execute(
        projects.update().where(projects.c.id == project_id).values(default_branch=branch)
    )


_PROTECTED_COLUMNS = [column for column in protected_branches.c if column.name != "created_at"]


async def protect(
    connection: AsyncConnection, project_id: int, new: NewProtectedBranch, now: datetime
) -> ProtectedBranch:
    """Raises sqlalchemy's IntegrityError when the project protects this name already."""
    statement = protected_branches.insert().values(
        project_id=project_id,
        name=new.name,
        push_access_level=int(new.push_access_level),
        merge_access_level=int(new.merge_access_level),
        allow_force_push=new.allow_force_push,
        created_at=now,
    )
    row = (await connection.execute(statement.returning(*_PROTECTED_COLUMNS))).mappings().one()
    return ProtectedBranch(**row)


async def list_protected_branches(connection: AsyncConnection, project_id: int) -> list[ProtectedBranch]:
    """All of them, in the order they were made: their number is bounded."""
    rows = await connection.execute(
        sa.select(*_PROTECTED_COLUMNS)
        .where(protected_branches.c.project_id == project_id)
        .order_by(protected_branches.c.id)
    )
    return [ProtectedBranch(**row) for row in rows.mappings()]


async def unprotect(connection: AsyncConnection, project_id: int, name: str) -> bool:
    """Whether the project protected this name."""
    result = await connection.execute(
        protected_branches.delete().where(
            protected_branches.c.project_id == project_id, protected_branches.c.name == name
        )
    )
    return bool(result.rowcount)


async def delete(connection: AsyncConnection, project_id: int) -> bool:
    """With its route, members, agents and tokens: foreign keys cascade. Whether there was one."""
    result = await connection.execute(projects.delete().where(projects.c.id == project_id))
    return bool(result.rowcount)
