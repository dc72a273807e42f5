"""Git hosting on loopback, behind the public HTTP server, and the real git as its client."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kasbah.gitrepo.settings import GitSettings
from kasbah.hub.repositories.git_http import git_app
from kasbah.hub.repositories.store import RepositoryStore
from kasbah.kas.http_server.asgi import AsgiBridge
from kasbah.kas.http_server.server import HttpServer, Listen
from tests.doubles.git_accounts import FakeAccounts, FakeKasClient, FakeProjects, make_project, make_user

PROJECT = 7


@dataclass
class Git:
    """The git client of one person, untouched by this machine's configuration."""

    home: Path
    trace: Path | None = None

    async def __call__(self, *arguments: str, cwd: Path | None = None) -> str:
        code, output = await self.try_run(*arguments, cwd=cwd)
        assert code == 0, output
        return output

    async def try_run(self, *arguments: str, cwd: Path | None = None) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            cwd=cwd or self.home,
            env=self.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def trace_packets(self, *arguments: str) -> str:
        """Run git; what it said and heard, packet by packet."""
        self.trace = self.home / "trace"
        await self(*arguments)
        return self.trace.read_text()

    def environment(self) -> dict[str, str]:
        names = {"AUTHOR": "Test", "COMMITTER": "Test"}
        identity = {f"GIT_{who}_{what}": "t@example.com" for who in names for what in ("NAME", "EMAIL")}
        return {
            **identity,
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
            **({"GIT_TRACE_PACKET": str(self.trace)} if self.trace else {}),
        }

    async def make_work(self, name: str = "work", branch: str = "main") -> Path:
        """A work tree with one commit."""
        work = self.home / name
        await self("init", "-q", "-b", branch, str(work))
        await self.commit(work, "README.md", b"hello\n")
        return work

    async def commit(self, work: Path, file: str, content: bytes) -> str:
        path = work / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        await self("add", "-A", cwd=work)
        await self("commit", "-q", "-m", f"change {file}", cwd=work)
        return (await self("rev-parse", "HEAD", cwd=work)).strip()


@dataclass
class Hosting:
    """A hub's Git side with one private project, its owner's token and everything in reach."""

    port: int
    store: RepositoryStore
    accounts: FakeAccounts = field(default_factory=FakeAccounts)
    projects: FakeProjects = field(default_factory=FakeProjects)
    kas: FakeKasClient = field(default_factory=FakeKasClient)

    def url(self, token: str | None = "glpat-owner", path: str = "group/sub/app.git") -> str:
        credentials = f"user:{token}@" if token else ""
        return f"http://{credentials}127.0.0.1:{self.port}/{path}"

    @property
    def repository(self) -> Path:
        return self.store.path(PROJECT)


Host = Callable[..., AbstractAsyncContextManager[Hosting]]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Call it for a running hosting: `async with host(GitSettings(…)) as hosting`."""

    @contextlib.asynccontextmanager
    async def hosting(settings: GitSettings | None = None, root: Path | None = None) -> AsyncIterator[Hosting]:
        found = Hosting(port=0, store=RepositoryStore(root or tmp_path / "repositories", settings))
        owner = make_user()
        found.accounts.grant("glpat-owner", owner, "api")
        found.projects.add(make_project(PROJECT))
        found.projects.roles[owner.id, PROJECT] = 50
        await found.store.create(PROJECT, "main")
        server = HttpServer([Listen(host="127.0.0.1", port=0)], lambda _head, _client: None)
        bridge = AsgiBridge(git_app(found.store, found.accounts, found.projects, found.kas), server.clock)
        server.route = bridge.exchange
        ready, bridged = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(bridge.run(bridged.set)), group.create_task(server.run(ready.set))]
            await ready.wait()
            await bridged.wait()
            found.port = server.addresses[0][1]
            try:
                yield found
            finally:
                for task in tasks:
                    task.cancel()

    return hosting


@pytest.fixture
def git(tmp_path: Path) -> Git:
    home = tmp_path / "home"
    home.mkdir()
    return Git(home)
