"""Git hosting on loopback, behind the public HTTP server, and the real git as its client."""

from __future__ import annotations

import asyncio
import base64
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
from kasbah.kas.http_server.asgi import Application, AsgiBridge
from kasbah.kas.http_server.server import HttpServer, Listen
from tests.doubles.git_accounts import FakeAccounts, FakeKasClient, FakeProjects, make_project, make_user

PROJECT = 7
OWNER_TOKEN = "glpat-owner"


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

    def url(self, token: str | None = OWNER_TOKEN, path: str = "group/sub/app.git") -> str:
        credentials = f"user:{token}@" if token else ""
        return f"http://{credentials}127.0.0.1:{self.port}/{path}"

    @property
    def repository(self) -> Path:
        return self.store.path(PROJECT)

    async def open_post(self, path: str, body: bytes, *, length: int | None = None) -> Connection:
        """A POST of a git client, with its owner's token; `length` may promise more than is sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(post_head(path, length or len(body)) + body)
        await writer.drain()
        return reader, writer

    @contextlib.asynccontextmanager
    async def half_sent_push(self) -> AsyncIterator[asyncio.StreamReader]:
        """A push whose client stops after a piece of the pack, and leaves at the end of the block."""
        update = b"0" * 40 + b" " + b"1" * 40 + b" refs/heads/main\0report-status side-band-64k"
        body = b"%04x" % (len(update) + 4) + update + b"0000PACK\0\0\0\2\0\0\0\2"
        reader, writer = await self.open_post("/group/sub/app.git/git-receive-pack", body, length=1 << 20)
        async with asyncio.timeout(5):
            while not list(self.repository.glob("objects/tmp_*")):  # noqa: ASYNC110 - git tells nobody
                await asyncio.sleep(0.01)
        try:
            yield reader
        finally:
            writer.close()


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def basic(token: str) -> str:
    return "Basic " + base64.b64encode(f"user:{token}".encode()).decode()


OWNER = basic(OWNER_TOKEN)


def post_head(
    path: str,
    length: int,
    *,
    content_type: str = "",
    encoding: str = "",
    credentials: str = OWNER,
    expect: bool = False,
) -> bytes:
    service = path.rpartition("/")[2]
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: kasbah",
        f"Authorization: {credentials}",
        f"Content-Type: {content_type or f'application/x-{service}-request'}",
        f"Content-Length: {length}",
        *([f"Content-Encoding: {encoding}"] if encoding else []),
        *(["Expect: 100-continue"] if expect else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


async def http_get(hosting: Hosting, target: str, *, owner: bool = False, authorization: str = "") -> str:
    """The whole answer to a GET; header names in small letters as our server sends them."""
    credentials = authorization or (OWNER if owner else "")
    reader, writer = await asyncio.open_connection("127.0.0.1", hosting.port)
    lines = [f"GET {target} HTTP/1.1", "Host: kasbah", "Connection: close"]
    lines += [f"Authorization: {credentials}"] if credentials else []
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answer = await reader.read()
    writer.close()
    return answer.decode("latin-1")


async def http_post(
    hosting: Hosting, path: str, body: bytes, *, content_type: str = "", encoding: str = ""
) -> bytes:
    """The answer to a POST, as far as it came before the connection was closed or fell silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hosting.port)
    head = post_head(path, len(body), content_type=content_type, encoding=encoding)
    writer.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


def git_children() -> list[str]:
    """The git processes that this process started and that still run."""
    children = Path("/proc/self/task").glob("*/children")
    pids = [pid for file in children for pid in file.read_text().split()]
    names = [Path(f"/proc/{pid}/comm") for pid in pids]
    running = [name.read_text().strip() for name in names if name.exists()]
    return [
        name for name in running if name.startswith("git")
    ]  # a cluster of the session may be a child, too


Host = Callable[..., AbstractAsyncContextManager[Hosting]]


@contextlib.asynccontextmanager
async def serving(store: RepositoryStore, *, create: bool = True) -> AsyncIterator[Hosting]:
    """A running hosting over this store."""
    found = Hosting(port=0, store=store)
    owner = make_user()
    found.accounts.grant(OWNER_TOKEN, owner, "api")
    found.projects.add(make_project(PROJECT))
    found.projects.roles[owner.id, PROJECT] = 50
    if create:
        await store.create(PROJECT, "main")
    application = git_app(store, found.accounts, found.projects, found.kas)
    async with serving_application(application) as found.port:
        yield found


@contextlib.asynccontextmanager
async def serving_application(application: Application) -> AsyncIterator[int]:
    """The port of the public HTTP server with this application behind it."""
    server = HttpServer([Listen(host="127.0.0.1", port=0)], lambda _head, _client: None)
    bridge = AsgiBridge(application, server.clock)
    server.route = bridge.exchange
    ready, bridged = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(bridge.run(bridged.set)), group.create_task(server.run(ready.set))]
        await ready.wait()
        await bridged.wait()
        try:
            yield server.addresses[0][1]
        finally:
            for task in tasks:
                task.cancel()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Call it for a running hosting: `async with host(GitSettings(…)) as hosting`."""

    def hosting(
        settings: GitSettings | None = None, root: Path | None = None, store: RepositoryStore | None = None
    ) -> AbstractAsyncContextManager[Hosting]:
        return serving(store or RepositoryStore(root or tmp_path / "repositories", settings))

    return hosting


@pytest.fixture
def git(tmp_path: Path) -> Git:
    home = tmp_path / "home"
    home.mkdir()
    return Git(home)
