"""Users and personal access tokens in SQL.

Functions take the caller's connection, so that one transaction may span stores. A token is found by the SHA-256 of
its value; the value itself is never stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from kasbah.hub.accounts.model import NewToken, NewUser
from kasbah.hub.database import Id, UtcDateTime, metadata, primary_key
from kasbah.hub.identity import PersonalAccessToken, User

users = sa.Table(
    "users",
    metadata,
    primary_key(),
    sa.Column("username", sa.String(255), nullable=False),
    sa.Column("username_lower", sa.String(255), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("email", sa.String(384), nullable=False),
    sa.Column("email_lower", sa.String(384), nullable=False, unique=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("is_admin", sa.Boolean(), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sqlite_autoincrement=True,
)

tokens = sa.Table(
    "personal_access_tokens",
    metadata,
    primary_key(),
    sa.Column("user_id", Id, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("description", sa.String(255)),
    sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("scopes", sa.String(1024), nullable=False),
    sa.Column("revoked", sa.Boolean(), nullable=False),
    sa.Column("expires_at", sa.Date()),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("last_used_at", UtcDateTime()),
    sqlite_autoincrement=True,
)

_TOKEN_COLUMNS = [column for column in tokens.c if column.name != "token_hash"]
_USER_COLUMNS = [column for column in users.c if not column.name.endswith("_lower")]


def _user(row: RowMapping) -> User:
    return User(**{column.name: row[column.name] for column in _USER_COLUMNS})


def _token(row: RowMapping) -> PersonalAccessToken:
    fields = {column.name: row[column.name] for column in _TOKEN_COLUMNS}
    return PersonalAccessToken(**{**fields, "scopes": tuple(fields["scopes"].split())})


async def insert_user(connection: AsyncConnection, new: NewUser, now: datetime) -> User:
    """Raises sqlalchemy's IntegrityError when the username or the address is taken at this very moment."""
    statement = users.insert().values(
        username=new.username,
        username_lower=new.username.lower(),
        name=new.name,
        email=new.email,
        email_lower=new.email.lower(),
        state="active",
        is_admin=new.is_admin,
        created_at=now,
    )
    row = (await connection.execute(statement.returning(*_USER_COLUMNS))).mappings().one()
    return _user(row)


async def find_user(connection: AsyncConnection, user_id: int) -> User | None:
    rows = await connection.execute(sa.select(*_USER_COLUMNS).where(users.c.id == user_id))
    row = rows.mappings().one_or_none()
    return _user(row) if row else None


async def find_user_by_name(connection: AsyncConnection, username: str) -> User | None:
    rows = await connection.execute(
        sa.select(*_USER_COLUMNS).where(users.c.username_lower == username.lower())
    )
    row = rows.mappings().one_or_none()
    return _user(row) if row else None


async def find_users(connection: AsyncConnection, user_ids: Sequence[int]) -> dict[int, User]:
    rows = await connection.execute(sa.select(*_USER_COLUMNS).where(users.c.id.in_(user_ids)))
    return {row["id"]: _user(row) for row in rows.mappings()}


async def email_is_taken(connection: AsyncConnection, email: str) -> bool:
    found = await connection.execute(sa.select(users.c.id).where(users.c.email_lower == email.lower()))
    return found.first() is not None


async def list_users(
    connection: AsyncConnection, *, username: str | None, search: str | None, limit: int, offset: int
) -> tuple[list[User], int]:
    """A page of users, newest first, and how many there are in all."""
    chosen = sa.select(*_USER_COLUMNS)
    if username is not None:
        chosen = chosen.where(users.c.username_lower == username.lower())
    if search is not None:
        pattern = search.lower()
        chosen = chosen.where(
            sa.or_(
                users.c.username_lower.contains(pattern, autoescape=True),
                sa.func.lower(users.c.name).contains(pattern, autoescape=True),
                users.c.email_lower == pattern,
            )
        )
    total = await connection.scalar(sa.select(sa.func.count()).select_from(chosen.subquery()))
    rows = await connection.execute(chosen.order_by(users.c.id.desc()).limit(limit).offset(offset))
    return [_user(row) for row in rows.mappings()], total or 0


async def set_user_state(connection: AsyncConnection, user_id: int, state: str) -> None:
    await connection.execute(users.update().where(users.c.id == user_id).values(state=state))


async def insert_token(
    connection: AsyncConnection, user_id: int, new: NewToken, token_hash: str, now: datetime
) -> PersonalAccessToken:
    statement = tokens.insert().values(
        user_id=user_id,
        name=new.name,
        description=new.description,
        token_hash=token_hash,
        scopes=" ".join(new.scopes),
        revoked=False,
        expires_at=new.expires_at,
        created_at=now,
    )
    row = (await connection.execute(statement.returning(*_TOKEN_COLUMNS))).mappings().one()
    return _token(row)


async def find_token(connection: AsyncConnection, token_id: int) -> PersonalAccessToken | None:
    rows = await connection.execute(sa.select(*_TOKEN_COLUMNS).where(tokens.c.id == token_id))
    row = rows.mappings().one_or_none()
    return _token(row) if row else None


async def find_token_and_user(
    connection: AsyncConnection, token_hash: str
) -> tuple[PersonalAccessToken, User] | None:
    """The token with this hash, revoked or not, and its owner, in one query."""
    selected = [column.label(f"user__{column.name}") for column in _USER_COLUMNS]
    rows = await connection.execute(
        sa.select(*_TOKEN_COLUMNS, *selected)
        .join(users, users.c.id == tokens.c.user_id)
        .where(tokens.c.token_hash == token_hash)
    )
    row = rows.mappings().one_or_none()
    if row is None:
        return None
    owner = User(**{column.name: row[f"user__{column.name}"] for column in _USER_COLUMNS})
    return _token(row), owner


async def list_tokens(
    connection: AsyncConnection, *, user_id: int | None, limit: int, offset: int
) -> tuple[list[PersonalAccessToken], int]:
    """A page of one user's tokens, or of everybody's, newest first, and how many there are in all."""
    chosen = sa.select(*_TOKEN_COLUMNS)
    if user_id is not None:
        chosen = chosen.where(tokens.c.user_id == user_id)
    total = await connection.scalar(sa.select(sa.func.count()).select_from(chosen.subquery()))
    rows = await connection.execute(chosen.order_by(tokens.c.id.desc()).limit(limit).offset(offset))
    return [_token(row) for row in rows.mappings()], total or 0


async def has_had_token(connection: AsyncConnection, user_id: int, name: str) -> bool:
    """Whether the user was ever given a token of this name, revoked or not."""
    found = await connection.execute(
        sa.select(tokens.c.id).where(tokens.c.user_id == user_id, tokens.c.name == name).limit(1)
    )
    return found.first() is not None


async def revoke_token(connection: AsyncConnection, token_id: int) -> bool:
    """Whether the token was active until now."""
    result = await connection.execute(
        tokens.update().where(tokens.c.id == token_id, tokens.c.revoked.is_(False)).values(revoked=True)
    )
    return bool(result.rowcount)


async def write_token_last_used(connection: AsyncConnection, token_id: int, at: datetime) -> None:
    await connection.execute(tokens.update().where(tokens.c.id == token_id).values(last_used_at=at))
