"""Databases for the hub's tests: SQLite always, PostgreSQL where there is one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from kasbah.hub.database import Database, sqlite_url
from kasbah.hub.migrations.tables import metadata
from tests.doubles.hub_services import HubServices
from tests.doubles.postgres_server import given_or_own


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    yield from given_or_own()


@pytest_asyncio.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty SQLite database with every table."""
    database = Database(sqlite_url(tmp_path / "kasbah.db"))
    async with database.writing() as connection:
        await connection.run_sync(metadata.create_all)
    yield database
    await database.close()


@pytest_asyncio.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database with every table, once of each kind: the stores' one suite."""
    postgres = request.param == "postgres"
    url = request.getfixturevalue("postgres_url") if postgres else sqlite_url(tmp_path / "kasbah.db")
    database = Database(url)
    async with database.writing() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
    yield database
    await database.close()


@pytest_asyncio.fixture
async def hub(sqlite: Database) -> HubServices:
    """The services over SQLite."""
    return HubServices(sqlite)


@pytest_asyncio.fixture
async def stored(database: Database) -> HubServices:
    """The services over each kind of database: to fill what a store's test reads."""
    return HubServices(database)
