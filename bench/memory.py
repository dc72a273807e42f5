"""Resident memory: idle programs, and what each idle watch adds to them."""

from __future__ import annotations

import asyncio
import sys
from typing import Self
from urllib.parse import urlsplit

from bench import stack
from bench.errors import BenchError
from bench.processes import answers, resident_kib
from bench.results import Goal, Report
from sandbox import ports
from sandbox.processes import Processes

IDLE_AGENT_MIB = 48.0
IDLE_SERVER_MIB = 110.0
WATCH_SERVER_KIB = 40.0
WATCH_AGENT_KIB = 64.0
_SETTLE_S = 4.0
_WARM = 20
_AT_ONCE = 50
"""Watches opened together: a crowd at the door is another benchmark."""
_PATH = "/api/v1/pods?watch=1&allowWatchBookmarks=true"


def measure(processes: Processes, *, watches: int) -> list[Report]:
    """Start the programs in front of a server that only drips, and look at them before and after."""
    (port,) = ports.free(1)
    processes.start(
        "drip", [sys.executable, "-m", "bench.drip", str(port)], environment={"PYTHONPATH": stack.ROOT}
    )
    processes.wait_until(lambda: answers(port), "drip listens", timeout_s=10, expecting=["drip"])
    ours = stack.start(processes, f"http://127.0.0.1:{port}")
    return asyncio.run(_measure(ours, watches))


async def _measure(ours: stack.Stack, watches: int) -> list[Report]:
    await asyncio.sleep(_SETTLE_S)
    idle = _resident(ours)
    async with _Watches(ours) as warm:
        await warm.open(_WARM)
    await asyncio.sleep(1)
    before = _resident(ours)
    async with _Watches(ours) as crowd:
        await crowd.open(watches)
        await asyncio.sleep(_SETTLE_S)
        after = _resident(ours)
        alive = crowd.alive()
    each = [(late - early) / watches for early, late in zip(before, after, strict=True)]
    how = f"Resident set of the processes, in MiB; {watches:,} watches that saw one event and then nothing."
    report = Report(
        title="Memory", how=how, header=("process", "idle", f"with {watches:,} watches", "KiB a watch")
    )
    for name, number in (("kasbah up (kas + hub)", 0), ("agentk", 1)):
        cells = (idle[number] / 1024, after[number] / 1024, each[number])
        report.rows.append([name, *(f"{cell:.1f}" for cell in cells)])
    report.goals = [
        Goal(what="kas + hub idle", value=idle[0] / 1024, bound=IDLE_SERVER_MIB, unit="MiB"),
        Goal(what="agentk idle", value=idle[1] / 1024, bound=IDLE_AGENT_MIB, unit="MiB"),
        Goal(what="an idle watch on kas", value=each[0], bound=WATCH_SERVER_KIB, unit="KiB"),
        Goal(what="an idle watch on agentk", value=each[1], bound=WATCH_AGENT_KIB, unit="KiB"),
        Goal(what="watches alive at the end", value=alive, bound=watches, at_least=True),
    ]
    return [report]


def _resident(ours: stack.Stack) -> tuple[int, int]:
    return resident_kib(ours.server_pid), resident_kib(ours.agent_pid)


class _Watch(asyncio.Protocol):
    """One client that asked for a watch and then only listens."""

    def __init__(self, request: bytes) -> None:
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.alive = True
        self._request = request
        self._seen = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_connection gives
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.begun.done():
            return
        self._seen += data
        if not b"HTTP/1.1 200".startswith(self._seen[:12]):
            self.begun.set_exception(BenchError(f"a watch was refused: {self._seen[:64]!r}"))
        elif b"ADDED" in self._seen:
            self.begun.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.alive = False
        if not self.begun.done():
            self.begun.set_exception(error or BenchError("a watch ended before its first event"))

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


class _Watches:
    """A crowd of them."""

    def __init__(self, ours: stack.Stack) -> None:
        address = urlsplit(ours.url(_PATH))
        self._address = address.hostname or "", address.port or 80
        lines = [f"GET {address.path}?{address.query} HTTP/1.1", f"Host: {address.netloc}"]
        lines += [f"{name}: {value}" for name, value in ours.headers.items()]
        self._request = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self._open: list[_Watch] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for watch in self._open:
            watch.close()

    async def open(self, count: int) -> None:
        """Open that many and wait for the first event of each."""
        for start in range(0, count, _AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_AT_ONCE, count - start)):
                    group.create_task(self._open_one())

    def alive(self) -> int:
        """How many have not ended."""
        return sum(watch.alive for watch in self._open)

    async def _open_one(self) -> None:
        async with asyncio.timeout(20):
            loop = asyncio.get_running_loop()
            _, watch = await loop.create_connection(lambda: _Watch(self._request), *self._address)
            await watch.begun
        self._open.append(watch)
