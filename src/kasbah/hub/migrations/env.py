"""Alembic's entry: runs the scripts on the database it is given, all in one transaction.

Two programs that start at once wait for each other: on SQLite by the one writer, on PostgreSQL by an advisory lock.
"""

from __future__ import annotations

import asyncio

import sqlalchemy as sa
from alembic import context

from kasbah.hub.database import Database
from kasbah.hub.migrations.tables import metadata

_LOCK = 0x6B617362  # any number, as long as it is always this one


def _run(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,
        transactional_ddl=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _upgrade(url: str) -> None:
    database = Database(url)
    try:
        async with database.writing() as connection:
            await connection.run_sync(_run)
    finally:
        await database.close()


asyncio.run(_upgrade(context.config.attributes["url"]))
