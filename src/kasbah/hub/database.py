"""The hub's database: SQLite in one file, or PostgreSQL, chosen by the URL.

Guarantees: what a `writing` block has committed survives `kill -9` and a power cut (SQLite with WAL and
synchronous=FULL). On SQLite there is one writer at a time, and a writer begins IMMEDIATE, so what it read is still true
when it writes; on PostgreSQL stores lock the rows they decide on. Tables use portable types only: one suite of store
tests runs on both. SQL itself is written in the stores and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from kasbah.errors import UserError
from kasbah.hub.errors import DatabaseUnavailableError

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""64-bit ids; SQLite numbers only INTEGER primary keys by itself."""

_READERS: Final = 3
_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000")


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Aware times in UTC; SQLite keeps them without the zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


def primary_key() -> sa.Column[int]:
    """The column `id`; numbers are never given out twice (see `sqlite_autoincrement` of the tables)."""
    return sa.Column("id", Id, primary_key=True, autoincrement=True)


def sqlite_url(path: Path) -> str:
    """The URL of a database file."""
    return f"sqlite+aiosqlite:///{path}"


def driver_url(url: str) -> str:
    """The URL with the driver we bring: people write postgresql:// or sqlite:///."""
    for plain, driver in (
        ("postgresql://", "postgresql+asyncpg://"),
        ("postgres://", "postgresql+asyncpg://"),
    ):
        if url.startswith(plain):
            return driver + url.removeprefix(plain)
    if url.startswith("sqlite:///"):
        return "sqlite+aiosqlite:///" + url.removeprefix("sqlite:///")
    return url


class Database:
    """Connections to the one database; open it with `opened`."""

    def __init__(self, url: str) -> None:
        self.url = driver_url(url)
        self._writer, self._reader = _engines(self.url)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one state of the database and cannot change it (SQLite refuses)."""
        async with _translated(), self._reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed when the block ends, undone when it raises or is cancelled.

        Raises:
            DatabaseUnavailableError: the disk is full, the file is locked, or the server is away; nothing was changed.
        """
        async with _translated(), self._writer.begin() as connection:
            yield connection

    async def close(self) -> None:
        await self._writer.dispose()
        if self._reader is not self._writer:
            await self._reader.dispose()

    async def check(self) -> None:
        """Raise `DatabaseUnavailableError` unless the database answers."""
        async with self.reading() as connection:
            await connection.execute(sa.text("SELECT 1"))


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError, OSError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise DatabaseUnavailableError(f"the database is unavailable: {cause}", retryable=True) from error


def _engines(url: str) -> tuple[AsyncEngine, AsyncEngine]:
    """The engine for writing and the one for reading (the same on PostgreSQL)."""
    if not url.startswith("sqlite"):
        engine = create_async_engine(url, pool_size=10, max_overflow=0, pool_pre_ping=True)
        return engine, engine
    _create_private_file(url)
    writer = create_async_engine(url, pool_size=1, max_overflow=0)
    reader = create_async_engine(url, pool_size=_READERS, max_overflow=0)
    _listen(writer, begin="BEGIN IMMEDIATE", pragmas=_PRAGMAS)
    _listen(reader, begin="BEGIN", pragmas=(*_PRAGMAS, "query_only=ON"))
    return writer, reader


def _listen(engine: AsyncEngine, *, begin: str, pragmas: tuple[str, ...]) -> None:
    def on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun by `on_begin`, not guessed by the driver
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    sa.event.listen(engine.sync_engine, "connect", on_connect)
    sa.event.listen(engine.sync_engine, "begin", on_begin)


def _create_private_file(url: str) -> None:
    """The database holds hashes of tokens and people's addresses: readable by its owner only, from the first byte."""
    path = sa.make_url(url).database
    if not path or path == ":memory:":
        raise UserError(
            f"the database must be a file, not {url}: an acknowledged change has to survive a restart"
        )
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
