"""First start, restart, and death in between: nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kasbah.errors import UserError
from kasbah.hub.app import create_app
from tests.doubles.git_accounts import FakeKasClient
from tests.integration.hub.conftest import World, settings
from tests.integration.hub.conftest import running as started

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def running(data_dir: Path) -> AsyncIterator[World]:
    async with started(create_app(settings(data_dir), FakeKasClient()), data_dir) as world:
        yield world


async def test_the_first_start_makes_everything_from_an_empty_directory(tmp_path: Path):
    async with running(tmp_path) as world:
        user = (await world.root.get("/user")).json()
    assert (user["id"], user["username"], user["is_admin"]) == (1, "root", True)
    assert (tmp_path / "root-token").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "kasbah.db").stat().st_mode & 0o777 == 0o600


async def test_a_restart_keeps_the_token_and_the_data(data_dir: Path):
    async with running(data_dir) as world:
        token, project = world.root_token, await world.project("fleet")
    async with running(data_dir) as world:
        assert world.root_token == token
        assert (await world.root.get(f"/projects/{project}")).status_code == 200


async def test_a_deleted_token_file_is_not_written_again(data_dir: Path):
    async with running(data_dir) as world:
        token = world.root_token
    (data_dir / "root-token").rename(data_dir / "kept")
    (data_dir / "root-token").write_text("")
    async with running(data_dir) as world:
        assert (await world.client(token).get("/user")).status_code == 200
        assert world.root_token == ""


async def test_a_crash_between_file_and_database_heals(data_dir: Path):
    async with running(data_dir) as world:
        token = world.root_token
    with sqlite3.connect(data_dir / "kasbah.db") as connection:
        connection.execute("DELETE FROM personal_access_tokens")
    connection.close()
    async with running(data_dir) as world:
        assert world.root_token == token
        assert (await world.root.get("/user")).status_code == 200


async def test_a_token_file_with_something_else_stops_the_start(data_dir: Path):
    (data_dir / "root-token").write_text("my shopping list")
    app = create_app(settings(data_dir), FakeKasClient())
    with pytest.raises(UserError, match="holds no token of ours: move it away"):
        await app.run(lambda: None)


async def test_until_it_is_ready_the_hub_says_so(data_dir: Path):
    app = create_app(settings(data_dir), FakeKasClient())
    answer = await World(app, "glpat-x").root.get("/user")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_the_last_use_outlives_a_restart(data_dir: Path):
    async with running(data_dir) as world:
        project = await world.project("fleet")
        agent = await world.agent(project)
        token = await world.agent_token(project, agent)
        path = f"/projects/{project}/cluster_agents/{agent}/tokens/{token['id']}"
        for _ in range(3):
            await world.kas_for(token["token"]).get("/internal/kubernetes/agent_info")
        before = (await world.root.get(path)).json()["last_used_at"]
    async with running(data_dir) as world:
        assert (await world.root.get(path)).json()["last_used_at"] == before


_CHILD = """
import asyncio, sys
from pathlib import Path
from tests.integration.hub.test_restart import running

async def main():
    async with running(Path(sys.argv[1])) as world:
        for number in range(10_000):
            await world.project(f"p{number}")
            print("acknowledged", number, flush=True)

asyncio.run(main())
"""


async def test_what_was_acknowledged_before_kill_9_is_there_after_it(data_dir: Path):
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _CHILD,
        str(data_dir),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=Path(__file__).parents[3],
    )
    assert child.stdout is not None
    said = b""
    while said.count(b"acknowledged") < 20:
        said += await child.stdout.readline()
    os.kill(child.pid, signal.SIGKILL)
    said += await child.stdout.read()
    await child.wait()
    acknowledged = max(int(number) for number in re.findall(rb"acknowledged (\d+)\n", said))
    async with running(data_dir) as world:
        for number in range(acknowledged + 1):
            project = await world.root.get(f"/projects/root%2Fp{number}")
            assert project.status_code == 200
            repository = data_dir / "repositories" / f"{project.json()['id']:03d}"
            assert (repository / f"{project.json()['id']}.git" / "HEAD").exists()


async def test_a_full_disk_refuses_and_changes_nothing(data_dir: Path):
    """SQLite's own limit of pages stands for the disk."""
    async with running(data_dir) as world:
        await world.group("before")
    limited = data_dir / "limited"
    limited.mkdir()
    shutil.copy(data_dir / "root-token", limited)
    shutil.copy(data_dir / "kasbah.db", limited)
    async with running(limited) as world:
        async with world.app._areas.database.writing() as connection:
            await connection.exec_driver_sql("PRAGMA max_page_count = 1")
        answers = [
            await world.root.post("/groups", json={"name": "x" * 200, "path": f"g{number}"})
            for number in range(60)
        ]
        refused = next(answer for answer in answers if answer.status_code != 201)
        expected = '{"message":"503 Service Unavailable"}'
        assert (refused.status_code, refused.text) == (503, expected)
        assert (await world.root.get("/groups/before")).status_code == 200
