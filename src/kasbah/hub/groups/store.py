"""Namespaces, the paths they and the projects take, and group memberships, in SQL.

`routes` is the one table of full paths, of groups, users' namespaces and projects alike: its unique key is what makes
a path belong to one thing only, also when two requests race.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from kasbah.hub.database import Id, UtcDateTime, metadata, primary_key
from kasbah.hub.groups.model import NO_ACCESS, Member, Namespace, Role
from kasbah.hub.identity import User

namespaces = sa.Table(
    "namespaces",
    metadata,
    primary_key(),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("path", sa.String(255), nullable=False),
    sa.Column("parent_id", Id, sa.ForeignKey("namespaces.id", ondelete="CASCADE"), index=True),
    sa.Column("root_id", Id, nullable=False, index=True),
    sa.Column("owner_id", Id, sa.ForeignKey("users.id", ondelete="CASCADE"), unique=True),
    sa.Column("description", sa.Text(), nullable=False),
    sa.Column("visibility", sa.String(16), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("updated_at", UtcDateTime(), nullable=False),
    sqlite_autoincrement=True,
)

routes = sa.Table(
    "routes",
    metadata,
    primary_key(),
    sa.Column("path", sa.String(255), nullable=False),
    sa.Column("path_lower", sa.String(255), nullable=False, unique=True),
    sa.Column("namespace_id", Id, sa.ForeignKey("namespaces.id", ondelete="CASCADE"), unique=True),
    # By name: projects lie above groups in the code, and below them in the path.
    sa.Column("project_id", Id, sa.ForeignKey("projects.id", ondelete="CASCADE"), unique=True),
    sqlite_autoincrement=True,
)

group_members = sa.Table(
    "group_members",
    metadata,
    primary_key(),
    sa.Column("group_id", Id, sa.ForeignKey("namespaces.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("user_id", Id, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("access_level", sa.Integer(), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("expires_at", sa.Date()),
    sa.UniqueConstraint("group_id", "user_id"),
    sqlite_autoincrement=True,
)

_COLUMNS = [*namespaces.c, routes.c.path.label("full_path")]
_SELECT = sa.select(*_COLUMNS).join(routes, routes.c.namespace_id == namespaces.c.id)


def _namespace(row: RowMapping) -> Namespace:
    return Namespace(**row)


def unexpired(members: sa.Table, today: date) -> sa.ColumnElement[bool]:
    """The membership counts today."""
    return sa.or_(members.c.expires_at.is_(None), members.c.expires_at > today)


def ancestors_of(namespace_id: int | sa.ColumnElement[int]) -> sa.CTE:
    """The ids of a namespace and of all above it, with how far up each is."""
    start = sa.select(namespaces.c.id, namespaces.c.parent_id, sa.literal(0).label("depth")).where(
        namespaces.c.id == namespace_id
    )
    chain = start.cte(recursive=True)
    return chain.union_all(
        sa.select(namespaces.c.id, namespaces.c.parent_id, chain.c.depth + 1).where(
            namespaces.c.id == chain.c.parent_id
        )
    )


def levels_of(user_id: int, today: date) -> sa.CTE:
    """(id, level) of the namespaces in which a user has a role, given there or further up, and of the user's own.

    An id may come more than once: the highest level counts.
    """
    start = (
        sa.select(group_members.c.group_id.label("id"), group_members.c.access_level.label("level"))
        .where(group_members.c.user_id == user_id, unexpired(group_members, today))
        .union(
            sa.select(namespaces.c.id, sa.literal(int(Role.OWNER))).where(namespaces.c.owner_id == user_id)
        )
    )
    # A set operation cannot itself be the anchor of a recursive one on every database.
    given = start.subquery("given")
    chain = sa.select(given.c.id, given.c.level).cte(recursive=True)
    return chain.union(sa.select(namespaces.c.id, chain.c.level).where(namespaces.c.parent_id == chain.c.id))


def granted_levels(user_id: int, namespace_id: int, today: date) -> list[sa.Select[tuple[int]]]:
    """Queries for each way in which a namespace or one above it gives the user a role."""
    chain = ancestors_of(namespace_id)
    return [
        sa.select(group_members.c.access_level.label("level")).where(
            group_members.c.user_id == user_id,
            group_members.c.group_id.in_(sa.select(chain.c.id)),
            unexpired(group_members, today),
        ),
        sa.select(sa.literal(int(Role.OWNER)).label("level")).where(
            namespaces.c.id == namespace_id, namespaces.c.owner_id == user_id
        ),
    ]


async def highest(connection: AsyncConnection, ways: list[sa.Select[tuple[int]]]) -> int:
    """The highest level any of the queries finds; 0 for none."""
    found = sa.union_all(*ways).subquery()
    return await connection.scalar(sa.select(sa.func.max(found.c.level))) or NO_ACCESS


async def insert(connection: AsyncConnection, new: Namespace) -> Namespace:
    """The namespace with its number; a `root_id` of 0 means that it is its own root.

    Raises sqlalchemy's IntegrityError when the path is taken.
    """
    values = {column.name: getattr(new, column.name) for column in namespaces.c if column.name != "id"}
    inserted = await connection.execute(namespaces.insert().values(values).returning(namespaces.c.id))
    namespace_id = inserted.scalar_one()
    root_id = new.root_id or namespace_id
    await connection.execute(
        namespaces.update().where(namespaces.c.id == namespace_id).values(root_id=root_id)
    )
    await insert_route(connection, new.full_path, namespace_id=namespace_id)
    return replace(new, id=namespace_id, root_id=root_id)


async def insert_route(
    connection: AsyncConnection,
    full_path: str,
    *,
    namespace_id: int | None = None,
    project_id: int | None = None,
) -> None:
    await connection.execute(
        routes.insert().values(
            path=full_path, path_lower=full_path.lower(), namespace_id=namespace_id, project_id=project_id
        )
    )


async def find(connection: AsyncConnection, namespace_id: int) -> Namespace | None:
    rows = await connection.execute(_SELECT.where(namespaces.c.id == namespace_id))
    row = rows.mappings().one_or_none()
    return _namespace(row) if row else None


async def find_by_path(connection: AsyncConnection, full_path: str) -> Namespace | None:
    rows = await connection.execute(_SELECT.where(routes.c.path_lower == full_path.lower()))
    row = rows.mappings().one_or_none()
    return _namespace(row) if row else None


async def find_of_user(connection: AsyncConnection, user_id: int) -> Namespace | None:
    rows = await connection.execute(_SELECT.where(namespaces.c.owner_id == user_id))
    row = rows.mappings().one_or_none()
    return _namespace(row) if row else None


async def find_ids_by_paths(
    connection: AsyncConnection, full_paths: list[str], root_id: int | None
) -> dict[str, int]:
    """Group ids by lower-case full path, of those below one top-level namespace (None: anywhere)."""
    chosen = (
        sa.select(routes.c.path_lower, namespaces.c.id)
        .join(namespaces, namespaces.c.id == routes.c.namespace_id)
        .where(namespaces.c.kind == "group", routes.c.path_lower.in_([path.lower() for path in full_paths]))
    )
    if root_id is not None:
        chosen = chosen.where(namespaces.c.root_id == root_id)
    return {row[0]: row[1] for row in await connection.execute(chosen)}


async def list_ancestors(connection: AsyncConnection, namespace: Namespace) -> list[Namespace]:
    """The namespace and those above it, the nearest first."""
    chain = ancestors_of(namespace.id)
    rows = await connection.execute(_SELECT.where(namespaces.c.id.in_(sa.select(chain.c.id))))
    found = {row["id"]: _namespace(row) for row in rows.mappings()}
    ordered, current = [], found.get(namespace.id)
    while current is not None:
        ordered.append(current)
        current = found.get(current.parent_id) if current.parent_id is not None else None
    return ordered


def _visible_groups(user: User | None, today: date) -> sa.Select[Any]:
    chosen = _SELECT.where(namespaces.c.kind == "group")
    if user is None:
        return chosen.where(namespaces.c.visibility == "public")
    if user.is_admin:
        return chosen
    mine = levels_of(user.id, today)
    return chosen.where(
        sa.or_(namespaces.c.visibility.in_(("public", "internal")), namespaces.c.id.in_(sa.select(mine.c.id)))
    )


async def list_groups(
    connection: AsyncConnection,
    user: User | None,
    *,
    today: date,
    search: str | None,
    below: int | None,
    limit: int,
    offset: int,
) -> tuple[list[Namespace], int]:
    """A page of the groups the user may see (all of them below one group, when given), by name, and their number."""
    chosen = _visible_groups(user, today)
    if search is not None:
        chosen = chosen.where(routes.c.path_lower.contains(search.lower(), autoescape=True))
    if below is not None:
        chosen = chosen.where(namespaces.c.parent_id == below)
    total = await connection.scalar(sa.select(sa.func.count()).select_from(chosen.subquery()))
    rows = await connection.execute(
        chosen.order_by(namespaces.c.name, namespaces.c.id).limit(limit).offset(offset)
    )
    return [_namespace(row) for row in rows.mappings()], total or 0


async def access_level(connection: AsyncConnection, user_id: int, namespace_id: int, today: date) -> int:
    """The highest role the user holds in the namespace or above it; 0 for none."""
    return await highest(connection, granted_levels(user_id, namespace_id, today))


class MemberStore:
    """The memberships of one kind of thing: groups and projects keep theirs alike, in a table each."""

    def __init__(self, table: sa.Table, source: str) -> None:
        self._table = table
        self._source = table.c[source]

    def _member(self, row: RowMapping) -> Member:
        return Member(
            user_id=row["user_id"],
            source_id=row[self._source.name],
            access_level=row["access_level"],
            created_at=row["created_at"],
            expires_at=row["expires_at"],
        )

    def _of(self, source_id: int, user_id: int) -> sa.ColumnElement[bool]:
        return sa.and_(self._source == source_id, self._table.c.user_id == user_id)

    async def insert(self, connection: AsyncConnection, member: Member) -> None:
        """Raises sqlalchemy's IntegrityError when the user is a member already."""
        await connection.execute(
            self._table.insert().values(
                {
                    self._source.name: member.source_id,
                    "user_id": member.user_id,
                    "access_level": int(member.access_level),
                    "created_at": member.created_at,
                    "expires_at": member.expires_at,
                }
            )
        )

    async def find(self, connection: AsyncConnection, source_id: int, user_id: int) -> Member | None:
        rows = await connection.execute(sa.select(self._table).where(self._of(source_id, user_id)))
        row = rows.mappings().one_or_none()
        return self._member(row) if row else None

    async def list(
        self, connection: AsyncConnection, source_id: int, *, limit: int, offset: int
    ) -> tuple[list[Member], int]:
        """A page of members in the order they joined, and their number."""
        chosen = sa.select(self._table).where(self._source == source_id)
        total = await connection.scalar(sa.select(sa.func.count()).select_from(chosen.subquery()))
        rows = await connection.execute(chosen.order_by(self._table.c.id).limit(limit).offset(offset))
        return [self._member(row) for row in rows.mappings()], total or 0

    async def update(
        self, connection: AsyncConnection, member: Member, access_level: int, expires_at: date | None
    ) -> None:
        await connection.execute(
            self._table.update()
            .where(self._of(member.source_id, member.user_id))
            .values(access_level=access_level, expires_at=expires_at)
        )

    async def delete(self, connection: AsyncConnection, source_id: int, user_id: int) -> bool:
        """Whether there was such a member."""
        result = await connection.execute(self._table.delete().where(self._of(source_id, user_id)))
        return bool(result.rowcount)


members = MemberStore(group_members, "group_id")
