"""Nothing acknowledged is lost: the order of what reaches the disk and what reaches the client."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kasbah.gitrepo.errors import GitFailedError
from kasbah.hub.repositories.store import RepositoryStore
from tests.integration.repositories.conftest import PROJECT


class TrackingStore(RepositoryStore):
    """Stops before the directories are synced until told to go on, or fails there."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        self.fails = False

    async def sync_push(self, project_id, refs):
        self.reached.set()
        await self.go_on.wait()
        if self.fails:
            raise GitFailedError("the push could not be made durable; nothing is promised")
        await super().sync_push(project_id, refs)


@pytest.mark.asyncio
async def test_the_client_hears_nothing_until_the_directories_are_synced(host, git, tmp_path):
    store = TrackingStore(tmp_path / "tracked")
    async with host(store=store) as hosting, asyncio.TaskGroup() as group:
        work = await git.make_work()
        push = group.create_task(git.try_run("push", hosting.url(), "main", cwd=work))
        await store.reached.wait()
        await asyncio.sleep(0.2)
        assert not push.done()
        assert hosting.kas.events == []
        store.go_on.set()
        assert (await push)[0] == 0


@pytest.mark.asyncio
async def test_a_push_that_cannot_be_made_durable_is_not_acknowledged(host, git, tmp_path):
    store = TrackingStore(tmp_path / "tracked")
    store.fails = True
    store.go_on.set()
    async with host(store=store) as hosting:
        work = await git.make_work()
        code, output = await git.try_run("push", hosting.url(), "main", cwd=work)
    assert code != 0
    assert "could not be made durable" in output
    assert hosting.kas.events == []


@pytest.mark.asyncio
async def test_files_are_synced_before_their_names_and_names_before_the_answer(host, git, tmp_path):
    if shutil.which("strace") is None:
        pytest.skip("needs strace (Debian: apt-get install strace)")
    trace = tmp_path / "trace"
    async with host() as hosting:
        wrapper = tmp_path / "git"
        calls = "openat,fsync,fdatasync,rename,renameat,renameat2,link,linkat,write"
        wrapper.write_text(f'#!/bin/sh\nexec strace -f -y -qq -A -o {trace} -e trace={calls} git "$@"\n')
        wrapper.chmod(0o755)
        work = await git.make_work()
        hosting.store.settings = replace(hosting.store.settings, executable=str(wrapper))
        await git("push", "-q", hosting.url(), "main", cwd=work)
    events = [event for line in trace.read_text().splitlines() if (event := syncing(line))]
    pack = events.index(("fsync", "pack"))
    named = events.index(("name", "pack"))
    ref = events.index(("fsync", "ref"))
    moved = events.index(("name", "ref"))
    assert pack < named < ref < moved


def syncing(line: str) -> tuple[str, str] | None:
    what = (
        re.search(r"/(?:[^/>\"]*\.pack|tmp_pack_\w+)[>\"]", line),
        re.search(r"refs/heads/main(?:\.lock)?[>\"]", line),
    )
    kind = "pack" if what[0] else "ref" if what[1] else ""
    if not kind:
        return None
    if "fsync(" in line or "fdatasync(" in line:
        return "fsync", kind
    return ("name", kind) if re.search(r"\b(?:rename|link)(?:at2?)?\(", line) else None


@pytest.mark.asyncio
async def test_acknowledged_pushes_survive_the_death_of_everything(git, tmp_path):
    """The server is killed with SIGKILL while pushes run; each push that said "ok" is there afterwards."""
    root = tmp_path / "repositories"
    acknowledged: list[str] = []
    work = await git.make_work()
    for _ in range(3):
        async with killed_after(0.7, root) as port:
            await push_until_it_fails(git, work, port, acknowledged)
    store = RepositoryStore(root)
    assert acknowledged
    found = await store.resolve(PROJECT, [ref.encode() for ref in acknowledged])
    assert len(found) == len(acknowledged)
    await git("--git-dir", str(store.path(PROJECT)), "fsck", "--strict")


async def push_until_it_fails(git, work: Path, port: int, acknowledged: list[str]) -> None:
    url = f"http://user:glpat-owner@127.0.0.1:{port}/group/sub/app.git"
    while True:
        branch = f"refs/heads/{uuid.uuid4().hex}"
        await git.commit(work, "file", branch.encode())
        code, _ = await git.try_run("push", "-q", url, f"main:{branch}", cwd=work)
        if code != 0:
            return
        acknowledged.append(branch)


@contextlib.asynccontextmanager
async def killed_after(seconds: float, root: Path) -> AsyncIterator[int]:
    """The port of a server that gets SIGKILL after so long, and at the end of the block in any case."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.repositories.serve",
        str(root),
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        timer = asyncio.get_running_loop().call_later(seconds, process.kill)
        yield port
        timer.cancel()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
