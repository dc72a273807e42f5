"""Resident memory: idle programs, and what each idle watch adds to them."""

from __future__ import annotations

import asyncio
import sys
from typing import Self
from urllib.parse import urlsplit

from bench import stack
from bench.errors import BenchError
from bench.processes import resident_kib
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
    processes.wait_until(lambda: ports.answers(port), "drip listens", timeout_s=10, expecting=["drip"])
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


class _Watches:
    """Clients that open watches and then only listen."""

    def __init__(self, ours: stack.Stack) -> None:
        address = urlsplit(ours.url(_PATH))
        self._host, self._port = address.hostname or "", address.port or 80
        lines = [f"GET {address.path}?{address.query} HTTP/1.1", f"Host: {address.netloc}"]
        lines += [f"{name}: {value}" for name, value in ours.headers.items()]
        self._request = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self._open: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for _reader, writer in self._open:
            writer.close()

    async def open(self, count: int) -> None:
        """Open that many and wait for the first event of each."""
        for start in range(0, count, _AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_AT_ONCE, count - start)):
                    group.create_task(self._open_one())

    def alive(self) -> int:
        """How many have not ended."""
        return sum(not reader.at_eof() for reader, _writer in self._open)

    async def _open_one(self) -> None:
        async with asyncio.timeout(20):
            # A small buffer: a thousand readers of the default size are memory of this process only, yet memory.
            reader, writer = await asyncio.open_connection(self._host, self._port, limit=4096)
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise BenchError(f"a watch was refused: {head[:64]!r}")
            await reader.readuntil(b"ADDED")
        self._open.append((reader, writer))
