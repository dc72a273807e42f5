"""The whole agentk in this process, before an API server that a test made up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from kasbah.agentk import settings
from kasbah.agentk.app import Agentk
from kasbah.kube.access import ClusterAccess
from tests.doubles.loopback_server import answer, read_head, serving

TOKEN = "glagent-good"


@dataclass
class ApiServer:
    """Says its version, echoes bodies and upgraded connections, and lets the test say what a watch sees.

    Attributes:
        heads: the requests' heads so far, but for agentk's own question for the version.
        more: the next event of a watch; None: its end.
    """

    port: int = 0
    heads: list[str] = field(default_factory=list)
    more: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await read_head(reader)).decode()
            if "GET /version" not in head or "X-Test" in head:
                self.heads.append(head)
            if "watch=true" in head:
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while (event := await self.more.get()) is not None:
                    writer.write(b"%x\r\n%b\r\n" % (len(event), event))
                writer.write(b"0\r\n\r\n")
            elif "Upgrade: " in head:
                writer.write(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
                while data := await reader.read(65536):
                    writer.write(data)
                return
            elif "Content-Length: " in head:
                length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
                writer.write(answer(await reader.readexactly(length)))
            else:
                writer.write(answer(b'{"major":"1","minor":"36","gitVersion":"v1.36.3","platform":"p"}'))


@contextlib.asynccontextmanager
async def api_server() -> AsyncIterator[ApiServer]:
    api = ApiServer()
    async with serving(api.speak) as server:
        api.port = server.port
        yield api


@dataclass
class Running:
    agentk: Agentk
    stop: asyncio.Event
    task: asyncio.Task[None]

    @property
    def why_not_ready(self) -> str:
        return self.agentk._why_not_ready()


@contextlib.asynccontextmanager
async def agentk(
    address: str, api: ApiServer, *flags: str, access: ClusterAccess | None = None, **environment: str
) -> AsyncIterator[Running]:
    """agentk as its flags and its environment make it; stopped hard at the end."""
    made = settings.parse(
        [f"--kas-address={address}", "--observability-listen-address=127.0.0.1:0", *flags],
        {"AGENTK_TOKEN": TOKEN, "POD_NAMESPACE": "agents", **environment},
        "agentk-0",
    )
    agent = Agentk(made, access or ClusterAccess(host="127.0.0.1", port=api.port))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(agent.run(stop))
        try:
            yield Running(agent, stop, task)
        finally:
            task.cancel()


async def until(true: Callable[[], object], seconds: float = 8) -> float:
    """Wait until this holds; the seconds it took."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
    return time.monotonic() - began
