"""A whole kas on loopback, with a Git side in memory and people who ask."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from kasbah.kas.app import Kas, KasSettings
from kasbah.kas.http_server.router import PROXY_PREFIX
from kasbah.kas.http_server.server import Listen, make_tls_context
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kas.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.kit.local_ca import LocalCertificates
from tests.doubles.fake_hub import SECRET, FakeHub


@dataclass
class Answer:
    status: int
    head: bytes
    body: bytes


@dataclass
class Person:
    """A connection of somebody who may use the agent."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def ask(self, line: bytes = b"GET /version", headers: bytes = b"", body: bytes = b"") -> None:
        method, _, path = line.partition(b" /")
        self.writer.write(
            b"%b %b%b HTTP/1.1\r\nHost: kas\r\nAuthorization: Bearer pat:7:glpat-good\r\n%b\r\n%b"
            % (method, PROXY_PREFIX, path, headers, body)
        )

    async def head(self) -> bytes:
        async with asyncio.timeout(5):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def answer(self) -> Answer:
        """A whole answer, with a length or chunked."""
        head = await self.head()
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        async with asyncio.timeout(5):
            if b"content-length" in lines:
                body = await self.reader.readexactly(int(lines[b"content-length"]))
            else:
                body = await self._chunks()
        return Answer(int(head[9:12]), head, body)

    async def chunk(self) -> bytes:
        async with asyncio.timeout(5):
            size = await self.reader.readuntil(b"\r\n")
            data = await self.reader.readexactly(int(size, 16) + 2)
            return data[:-2]

    async def _chunks(self) -> bytes:
        body = b""
        while chunk := await self.chunk():
            body += chunk
        return body


@dataclass
class World:
    kas: Kas
    hub: FakeHub
    logs: list[dict[str, object]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.kas.addresses[0][1]

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def registry(self):
        return self.kas._tunnels._registry

    @property
    def connections(self) -> int:
        return len(self.kas._tunnels._connections)

    @contextlib.asynccontextmanager
    async def person(self) -> AsyncIterator[Person]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Person(reader, writer)
        finally:
            writer.transport.abort()

    async def get(self, line: bytes = b"GET /version", headers: bytes = b"", body: bytes = b"") -> Answer:
        async with self.person() as person:
            person.ask(line, headers, body)
            return await person.answer()


QUICK = ReverseTunnelSettings(greeting_timeout_s=0.5, token_check_interval_s=0.1, drain_timeout_s=5)


@contextlib.asynccontextmanager
async def kas_world(
    settings: ReverseTunnelSettings = QUICK,
    *,
    kubernetes_api: KubernetesApiSettings | None = None,
    certificates: LocalCertificates | None = None,
) -> AsyncIterator[World]:
    async def nothing(_scope, _receive, send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    tls = make_tls_context(str(certificates.certificate), str(certificates.key)) if certificates else None
    hub = FakeHub()
    async with hub.client() as hub_http:
        kas = Kas(
            KasSettings(
                version="test",
                listens=[Listen(host="127.0.0.1", port=0, tls=tls)],
                reverse_tunnel=settings,
                kubernetes_api=kubernetes_api or KubernetesApiSettings(agent_wait_s=3),
            ),
            hub_http,
            SECRET,
            nothing,
        )
        stop, ready = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(kas.run(stop, ready.set))
            await ready.wait()
            try:
                yield World(kas, hub)
            finally:
                running.cancel()


@pytest.fixture
def world_with() -> Callable[..., contextlib.AbstractAsyncContextManager[World]]:
    return kas_world
