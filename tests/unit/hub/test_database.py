"""One writer, readers that cannot write, and errors of ours."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa

from kasbah.errors import UserError
from kasbah.hub.database import Database, UtcDateTime, driver_url, sqlite_url
from kasbah.hub.errors import DatabaseUnavailableError
from kasbah.hub.usage.store import counters

pytestmark = pytest.mark.asyncio


async def pragma(database: Database, name: str) -> object:
    async with database.reading() as connection:
        return await connection.scalar(sa.text(f"PRAGMA {name}"))


async def test_sqlite_is_set_to_lose_nothing(sqlite: Database):
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    assert [await pragma(sqlite, name) for name in names] == ["wal", 2, 1, 5000]


async def test_the_file_is_its_owners_only(sqlite: Database, tmp_path: Path):
    assert (tmp_path / "kasbah.db").stat().st_mode & 0o777 == 0o600


async def test_a_reader_cannot_write(sqlite: Database):
    with pytest.raises(DatabaseUnavailableError, match="readonly"):
        async with sqlite.reading() as connection:
            await connection.execute(sa.text("DELETE FROM users"))


async def count(database: Database) -> int:
    async with database.reading() as connection:
        return await connection.scalar(sa.text("SELECT count(*) FROM usage_counters"))


async def add(database: Database, name: str) -> None:
    async with database.writing() as connection:
        await connection.execute(counters.insert().values(name=name, value=1))


async def test_an_exception_undoes_the_block(database: Database):
    with pytest.raises(UserError):
        await fail_after_writing(database)
    assert await count(database) == 0


async def fail_after_writing(database: Database) -> None:
    async with database.writing() as connection:
        await connection.execute(sa.text("INSERT INTO usage_counters VALUES ('a', 1)"))
        raise UserError("changed my mind")


async def test_a_cancelled_writer_leaves_the_next_one_free(database: Database):
    entered = asyncio.Event()

    async def linger() -> None:
        async with database.writing() as connection:
            await connection.execute(sa.text("INSERT INTO usage_counters VALUES ('a', 1)"))
            entered.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(linger())
        await entered.wait()
        task.cancel()
    await add(database, "b")
    assert await count(database) == 1


async def test_writers_take_turns(sqlite: Database):
    inside = most = 0

    async def write(number: int) -> None:
        nonlocal inside, most
        async with sqlite.writing() as connection:
            inside += 1
            most = max(most, inside)
            await connection.execute(counters.insert().values(name=str(number), value=1))
            inside -= 1

    async with asyncio.TaskGroup() as tasks:
        for number in range(10):
            tasks.create_task(write(number))
    assert (most, await count(sqlite)) == (1, 10)


async def test_times_keep_their_instant(database: Database):
    elsewhere = datetime(2026, 3, 1, 10, 15, tzinfo=timezone(timedelta(hours=5)))
    async with database.reading() as connection:
        found = await connection.scalar(sa.select(sa.literal(elsewhere, UtcDateTime())))
    assert found == elsewhere
    assert found.tzinfo is UTC


async def test_a_database_that_answers_passes_the_check(database: Database):
    await database.check()


async def test_an_absent_server_is_unavailable(tmp_path: Path):
    database = Database(f"postgresql://nobody@/none?host={tmp_path}")
    with pytest.raises(DatabaseUnavailableError, match="the database is unavailable"):
        await database.check()
    await database.close()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("postgresql://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("postgres://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("sqlite:////a/b.db", "sqlite+aiosqlite:////a/b.db"),
        (sqlite_url(Path("/a/b.db")), "sqlite+aiosqlite:////a/b.db"),
    ],
)
async def test_people_need_not_name_the_driver(written, meant):
    assert driver_url(written) == meant


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
async def test_a_database_in_memory_is_refused(url):
    with pytest.raises(UserError, match="the database must be a file"):
        Database(url)
