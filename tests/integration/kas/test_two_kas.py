"""Two kas programs with one Redis: the agent is connected to the first, and everybody asks the second."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.doubles.fake_hub import SECRET, FakeHub
from tests.doubles.loopback_server import read_head, serving
from tests.doubles.redis_server import RedisServer, free_port, running_server
from tests.doubles.running_agentk import ApiServer, agentk, api_server

GET = b"GET /k8s-proxy/api/v1/pods?limit=5"


@dataclass
class Program:
    """kas, as its configuration file makes it."""

    directory: Path
    hub_port: int
    redis: RedisServer
    agents: int = field(default_factory=free_port)
    people: int = field(default_factory=free_port)
    private: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def start(self) -> None:
        self.directory.mkdir(exist_ok=True)
        for name in ("secret", "private-secret"):
            (self.directory / name).write_bytes(base64.b64encode(SECRET))
        file = self.directory / "kas.yaml"
        file.write_text(json.dumps(self._configuration()))
        argv = [sys.executable, "-m", "kasbah.kas", f"--configuration-file={file}"]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, env=dict(os.environ))

    def kill(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    def _configuration(self) -> object:
        def at(port: int, **more: str) -> dict[str, object]:
            return {"listen": {"address": f"127.0.0.1:{port}"} | more}

        secret, private = str(self.directory / "secret"), str(self.directory / "private-secret")
        return {
            "gitlab": {"address": f"http://127.0.0.1:{self.hub_port}", "authentication_secret_file": secret},
            "agent": at(self.agents)
            | {"kubernetes_api": at(self.people) | {"url_path_prefix": "/k8s-proxy/"}},
            "observability": at(free_port()),
            "redis": {"server": {"address": f"127.0.0.1:{self.redis.port}"}},
            "private_api": at(self.private, authentication_secret_file=private),
        }

    async def ask(self, line: bytes = GET, headers: bytes = b"", body: bytes = b"") -> tuple[int, bytes]:
        """The status and the body of one answer."""
        async with self.person() as (reader, writer):
            writer.write(_request(line, headers, body))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return int(head[9:12]), await reader.readexactly(length)

    @contextlib.asynccontextmanager
    async def person(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.people)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


def _request(line: bytes, headers: bytes = b"", body: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    said = b"Host: kas\r\nAuthorization: Bearer pat:7:glpat-good\r\n"
    return line + b" HTTP/1.1\r\n" + said + headers + length + b"\r\n" + body


@dataclass
class World:
    one: Program
    two: Program
    redis: RedisServer
    api: ApiServer

    async def answered(self, kas: Program, within_s: float) -> float:
        """How long until this kas reaches the agent."""
        began = time.monotonic()
        async with asyncio.timeout(within_s):
            while True:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    if (await kas.ask())[0] == 200:
                        return time.monotonic() - began
                await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_server() as server:
        yield server


@contextlib.asynccontextmanager
async def hub_over_http(hub: FakeHub) -> AsyncIterator[int]:
    """The Git side in memory, on a port."""
    async with hub.client() as client:

        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                line, *lines = (await read_head(reader)).decode().rstrip().split("\r\n")
                headers = dict(each.split(": ", 1) for each in lines)
                lengths = [value for name, value in headers.items() if name.lower() == "content-length"]
                body = await reader.readexactly(int(lengths[0])) if lengths else b""
                method, target, _ = line.split(" ")
                answer = await client.request(method, target, headers=headers, content=body)
                writer.write(b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\n" % answer.status_code)
                writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(answer.content), answer.content))

        async with serving(speak) as served:
            yield served.port


@contextlib.asynccontextmanager
async def balancer(*ports: int) -> AsyncIterator[int]:
    """Connects whoever comes to the first of these ports that answers."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for port in ports:
            with contextlib.suppress(OSError):
                back_reader, back_writer = await asyncio.open_connection("127.0.0.1", port)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(pump(reader, back_writer))
                    tasks.create_task(pump(back_reader, writer))
                return

    async with serving(speak) as served:
        yield served.port


async def listens(port: int) -> None:
    """Until somebody takes connections there."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.transport.abort()
                return
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def world(tmp_path: Path, redis: RedisServer, tunnel: str = "native") -> AsyncIterator[World]:
    """Both programs run, and the agent is connected to the first."""
    async with hub_over_http(FakeHub()) as hub_port, api_server() as api:
        one, two = (Program(tmp_path / name, hub_port, redis) for name in ("one", "two"))
        made = World(one, two, redis, api)
        try:
            for kas in (one, two):
                kas.start()
            for kas in (one, two):  # an agent that is refused at first would come back later and later
                await listens(kas.agents)
            async with (
                balancer(one.agents, two.agents) as port,
                agentk(f"ws://127.0.0.1:{port}/", api, f"--kas-tunnel={tunnel}"),
            ):
                await made.answered(one, 20)
                await made.answered(two, 10)
                yield made
        finally:
            for kas in (one, two):
                kas.kill()


@pytest.mark.asyncio
@pytest.mark.parametrize("tunnel", ["native", "grpc"])
async def test_the_second_kas_answers_as_the_first(tmp_path: Path, redis: RedisServer, tunnel: str):
    async with world(tmp_path, redis, tunnel) as here:
        assert await here.two.ask() == await here.one.ask()
        body = bytes(range(256)) * 16384
        assert await here.two.ask(b"PUT /k8s-proxy/api/x", body=body) == (200, body)
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(here.two.ask()) for _ in range(100)]
        assert {task.result()[0] for task in asked} == {200}


@pytest.mark.asyncio
@pytest.mark.parametrize("tunnel", ["native", "grpc"])
async def test_watches_and_upgrades_pass_and_hang_ups_too(tmp_path: Path, redis: RedisServer, tunnel: str):
    async with world(tmp_path, redis, tunnel) as here, asyncio.timeout(20):
        async with here.two.person() as (reader, writer):
            writer.write(_request(b"GET /k8s-proxy/api/v1/pods?watch=true"))
            for event in (b"one\n", b"two\n"):
                here.api.more.put_nowait(event)
                assert (await reader.readuntil(event)).endswith(event)
        async with here.two.person() as (reader, writer):
            upgrade = b"Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            writer.write(_request(b"POST /k8s-proxy/api/v1/namespaces/a/pods/b/exec?command=sh", upgrade))
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            for word in (b"ls\n", b"exit\n"):
                writer.write(word)
                assert await reader.readexactly(len(word)) == word


@pytest.mark.asyncio
async def test_the_kas_with_the_tunnel_is_killed(tmp_path: Path, redis: RedisServer):
    async with world(tmp_path, redis) as here, here.two.person() as (reader, writer):
        writer.write(_request(b"GET /k8s-proxy/api/v1/pods?watch=true"))
        here.api.more.put_nowait(b"event\n")
        await reader.readuntil(b"event\n")
        here.one.kill()
        assert await here.answered(here.two, 5) < 5
        async with asyncio.timeout(1):
            assert not (await reader.read()).endswith(b"0\r\n\r\n")  # cut, and not ended


@pytest.mark.asyncio
async def test_redis_comes_and_goes(tmp_path: Path):
    with running_server() as redis:
        async with world(tmp_path, redis) as here:
            redis.stop()
            for kas in (here.one, here.two):
                assert (await kas.ask())[0] == 200
            await asyncio.sleep(6)  # what was known of the agent is not fresh any more
            assert (await here.two.ask())[0] == 200
            redis.start()
            await asyncio.sleep(1)
            here.two.kill()
            here.two.start()  # it knows nothing, and Redis has forgotten everything
            await here.answered(here.two, 20)
            assert here.one.log.count("redis is away") == 1
            assert "redis is back" in here.one.log
