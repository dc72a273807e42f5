"""The Kubernetes API proxy on a real server over loopback, with people and an agent in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from kasbah.kas.http_server.exchange import NullExchange
from kasbah.kas.http_server.router import PROXY_PREFIX
from kasbah.kas.http_server.server import HttpServer, Listen
from kasbah.kas.kubernetes_api.directory import HubDirectory
from kasbah.kas.kubernetes_api.owner import Tunnels
from kasbah.kas.kubernetes_api.proxy import KubernetesApiProxy
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kas.usage_metrics.counters import UsageCounters
from tests.doubles.loopback_agent import LoopbackAgent, LoopbackStream
from tests.doubles.people import People


@dataclass
class Answer:
    status: int
    head: bytes
    body: bytes


@dataclass
class Conversation:
    """One client connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def ask(
        self, line: bytes, headers: bytes = b"", *, token: bytes = b"pat:7:good", body: bytes = b""
    ) -> None:
        """Send a request; `line` is `METHOD /path` below the prefix."""
        method, _, path = line.partition(b" /")
        head = b"%b %b%b HTTP/1.1\r\nHost: kasbah\r\n" % (method, PROXY_PREFIX, path)
        if token:
            head += b"Authorization: Bearer %b\r\n" % token
        self.writer.write(head + headers + b"\r\n" + body)

    async def head(self) -> bytes:
        async with asyncio.timeout(5):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def answer(self) -> Answer:
        """A whole answer with a Content-Length."""
        head = await self.head()
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")
        )
        async with asyncio.timeout(5):
            return Answer(int(head[9:12]), head, await self.reader.readexactly(length))

    async def rest(self) -> bytes:
        """Everything until the server closes or breaks off."""
        try:
            async with asyncio.timeout(5):
                return await self.reader.read()
        except ConnectionError:
            return b""


@dataclass
class Scene:
    agent: LoopbackAgent
    people: People
    server: HttpServer
    proxy: KubernetesApiProxy

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Conversation]:
        reader, writer = await asyncio.open_connection(*self.server.addresses[0])
        try:
            yield Conversation(reader, writer)
        finally:
            writer.transport.abort()

    async def stream(self, count: int = 1) -> LoopbackStream:
        """The newest stream, once there are that many."""
        async with asyncio.timeout(5):
            while len(self.agent.streams) < count:
                self.agent.opened.clear()
                await self.agent.opened.wait()
        return self.agent.streams[-1]


@contextlib.asynccontextmanager
async def make_scene(
    settings: KubernetesApiSettings | None = None,
    *,
    prefix: bytes = PROXY_PREFIX,
    tunnels: Tunnels | None = None,
) -> AsyncIterator[Scene]:
    """A front of kas; without `tunnels` of the test's own, the agent is one in memory."""
    agent, people = LoopbackAgent(), People()
    server = HttpServer([Listen(host="127.0.0.1", port=0)], lambda _head, _client: NullExchange())
    proxy = KubernetesApiProxy(
        HubDirectory(people),
        tunnels or agent,
        server.clock,
        prefix=prefix,
        usage=UsageCounters(),
        settings=settings,
    )
    server.route = proxy.exchange
    async with asyncio.TaskGroup() as group:
        proxy_ready, server_ready = asyncio.Event(), asyncio.Event()
        tasks = [
            group.create_task(proxy.run(proxy_ready.set)),
            group.create_task(server.run(server_ready.set)),
        ]
        await proxy_ready.wait()
        await server_ready.wait()
        try:
            yield Scene(agent, people, server, proxy)
        finally:
            for task in tasks:
                task.cancel()
