"""Browser sessions in SQL: found by the SHA-256 of the cookie; neither it nor the CSRF token is stored."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kasbah.hub.database import Id, UtcDateTime, metadata, primary_key
from kasbah.hub.sessions.model import MOST_OF_ONE_USER, StoredSession

sessions = sa.Table(
    "kas_sessions",
    metadata,
    primary_key(),
    sa.Column("user_id", Id, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("token_id", Id, sa.ForeignKey("personal_access_tokens.id", ondelete="CASCADE"), index=True),
    sa.Column("cookie_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("csrf_hash", sa.String(64), nullable=False),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("expires_at", UtcDateTime(), nullable=False, index=True),
    sqlite_autoincrement=True,
)


async def insert(
    connection: AsyncConnection,
    *,
    user_id: int,
    token_id: int | None,
    cookie_hash: str,
    csrf_hash: str,
    now: datetime,
    expires_at: datetime,
) -> None:
    await connection.execute(
        sessions.insert().values(
            user_id=user_id,
            token_id=token_id,
            cookie_hash=cookie_hash,
            csrf_hash=csrf_hash,
            created_at=now,
            expires_at=expires_at,
        )
    )


async def find(connection: AsyncConnection, cookie_hash: str) -> StoredSession | None:
    """The session of this cookie, expired or not."""
    columns = (
        sessions.c.id,
        sessions.c.user_id,
        sessions.c.token_id,
        sessions.c.csrf_hash,
        sessions.c.expires_at,
    )
    rows = await connection.execute(sa.select(*columns).where(sessions.c.cookie_hash == cookie_hash))
    row = rows.mappings().one_or_none()
    return StoredSession(**row) if row else None


async def end_of_token(connection: AsyncConnection, token_id: int) -> None:
    """End every session that was begun with this token."""
    await connection.execute(sessions.delete().where(sessions.c.token_id == token_id))


async def drop_old(connection: AsyncConnection, user_id: int, now: datetime) -> None:
    """Drop what has expired, and a person's oldest sessions when they have too many."""
    await connection.execute(sessions.delete().where(sessions.c.expires_at <= now))
    newest = (
        sa.select(sessions.c.id)
        .where(sessions.c.user_id == user_id)
        .order_by(sessions.c.id.desc())
        .limit(MOST_OF_ONE_USER)
    ).subquery()
    await connection.execute(
        sessions.delete().where(sessions.c.user_id == user_id, sessions.c.id.not_in(sa.select(newest.c.id)))
    )
