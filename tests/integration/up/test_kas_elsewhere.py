"""`kasbah up` tells a kas of its own of pushes, over that kas' internal API."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import httpx2
import pytest

from kasbah.kas.http_server.server import HttpServer, Listen
from kasbah.kas.internal_api.server import InternalApi
from kasbah.kas.notifications import rpc as notifications
from kasbah.kas.notifications.pushes import GitPushes
from tests.integration.repositories.conftest import Git
from tests.integration.up.test_contract import content_if_private, ready, up

pytestmark = pytest.mark.asyncio

KEY = b"k" * 32


@pytest.fixture
def git(tmp_path: Path) -> Git:
    home = tmp_path / "home"
    home.mkdir()
    return Git(home)


async def push(line: dict[str, str], git: Git) -> int:
    """Make a project and push to it; its id."""
    token = content_if_private(Path(line["root_token_file"]))
    async with httpx2.AsyncClient(base_url=line["http"], headers={"PRIVATE-TOKEN": token}) as client:
        made = await client.post("/api/v4/projects", json={"name": "fleet"})
    work = await git.make_work(branch="main")
    await git.commit(work, "README", b"x")
    await git(
        "push",
        "-q",
        f"http://root:{token}@{line['http'].partition('://')[2]}/root/fleet.git",
        "main",
        cwd=work,
    )
    return int(made.json()["id"])


async def test_a_push_wakes_who_waits_at_the_other_kas(tmp_path: Path, git: Git):
    pushes, bound = GitPushes(), asyncio.Event()
    api = InternalApi(notifications.services(pushes), KEY)
    server = HttpServer([Listen(host="127.0.0.1", port=0)], api.exchange, accept_http2=api.accept)
    (tmp_path / "secret").write_bytes(base64.b64encode(KEY))
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(api.run()), tasks.create_task(server.run(bound.set))]
        await bound.wait()
        flags = {
            "kas-api": f"grpc://127.0.0.1:{server.addresses[0][1]}",
            "kas-api-secret-file": str(tmp_path / "secret"),
        }
        with pushes.watch(1) as watch:
            async with up(tmp_path / "data", **flags) as process:
                assert await push(await ready(process), git) == 1
                assert await watch.wait(10)
        for task in running:
            task.cancel()


async def test_a_push_does_not_wait_for_a_kas_that_is_away(tmp_path: Path, git: Git):
    async with up(tmp_path / "data", **{"kas-api": "grpc://127.0.0.1:1"}) as process:
        assert await push(await ready(process), git) == 1
        process.terminate()
        assert await process.wait() == 0
