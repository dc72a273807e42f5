"""The scripts lead to the tables the stores use, whole or not at all."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from kasbah.hub.app import create_app
from kasbah.hub.database import Database, sqlite_url
from kasbah.hub.errors import DatabaseUnavailableError
from kasbah.hub.migrations import HEAD, migrate
from kasbah.hub.migrations.__main__ import configuration
from kasbah.hub.migrations.tables import metadata
from kasbah.hub.projects import store
from tests.doubles.git_accounts import FakeKasClient
from tests.integration.hub.conftest import running, settings

pytestmark = pytest.mark.asyncio


async def test_the_program_speaks_the_newest_revision():
    assert ScriptDirectory.from_config(configuration("")).get_current_head() == HEAD


async def test_the_scripts_make_the_tables_the_stores_use(data_dir: Path):
    database = Database(sqlite_url(data_dir / "kasbah.db"))
    async with database.reading() as connection:
        differences = await connection.run_sync(
            lambda given: compare_metadata(MigrationContext.configure(given), metadata)
        )
    await database.close()
    assert differences == []


async def test_a_current_database_is_left_alone(data_dir: Path):
    database = Database(sqlite_url(data_dir / "kasbah.db"))
    before = (data_dir / "kasbah.db").read_bytes()
    await migrate(database)
    await database.close()
    assert (data_dir / "kasbah.db").read_bytes() == before


async def test_a_script_that_fails_changes_nothing(tmp_path: Path):
    path = tmp_path / "kasbah.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE agents (id INTEGER)")  # in the way of a later statement
    connection.close()
    database = Database(sqlite_url(path))
    with pytest.raises(DatabaseUnavailableError, match=r"could not be migrated: .*agents already exists"):
        await migrate(database)
    await database.close()
    with sqlite3.connect(path) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
    connection.close()
    assert tables == ["agents"]


async def empty(database: Database) -> None:
    async with database.writing() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")


async def test_projects_that_were_there_get_their_default_branch_protected(tmp_path: Path):
    path = tmp_path / "kasbah.db"
    url = sqlite_url(path)
    await asyncio.to_thread(command.upgrade, configuration(url), "0002")
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO projects (id, namespace_id, name, path, visibility, default_branch, archived, "
            "updated_at, last_activity_at, created_at) VALUES (7, 1, 'f', 'f', 'private', 'trunk', 0, ?, ?, ?)",
            ("2026-01-01 00:00:00",) * 3,
        )
    connection.close()
    database = Database(url)
    await migrate(database)
    async with database.reading() as opened:
        found = await store.list_protected_branches(opened, 7)
    await database.close()
    assert [(branch.name, branch.push_access_level, branch.allow_force_push) for branch in found] == [
        ("trunk", 40, False)
    ]


@pytest.mark.postgres
async def test_postgresql_gets_the_same_tables(postgres_url: str):
    database = Database(postgres_url)
    await empty(database)
    await migrate(database)
    async with database.reading() as connection:
        differences = await connection.run_sync(
            lambda given: compare_metadata(MigrationContext.configure(given), metadata)
        )
    await database.close()
    assert differences == []


@pytest.mark.postgres
async def test_two_that_start_at_once_migrate_once(postgres_url: str):
    databases = [Database(postgres_url) for _ in range(2)]
    await empty(databases[0])
    async with asyncio.TaskGroup() as tasks:
        for database in databases:
            tasks.create_task(migrate(database))
    for database in databases:
        await database.close()


@pytest.mark.postgres
async def test_a_whole_hub_runs_on_postgresql(postgres_url: str, tmp_path: Path):
    app = create_app(settings(tmp_path, database_url=postgres_url), FakeKasClient())
    database = Database(postgres_url)
    await empty(database)
    await database.close()
    async with running(app, tmp_path) as world:
        project = await world.project("fleet")
        token = await world.agent_token(project, await world.agent(project))
        answer = await world.kas_for(token["token"]).get("/internal/kubernetes/agent_info")
    assert (answer.status_code, answer.json()["agent_name"]) == (200, "prod")
