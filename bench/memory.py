"""Resident memory: idle programs, and what each idle watch adds to them."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from bench import stack
from bench.errors import BenchError
from bench.processes import answers, resident_kib
from bench.results import Goal, Report, Spread
from bench.route import Route
from sandbox import ports
from sandbox.processes import Processes

IDLE_AGENT_MIB = 48.0
IDLE_SERVER_MIB = 110.0
WATCH_SERVER_KIB = 40.0
WATCH_AGENT_KIB = 64.0
WATCHES = 500
"""On every route: GitLab's agentk holds as many tunnels."""
MORE_WATCHES = 1000
"""On the native tunnel."""
_SETTLE_S = 4.0
_WARM = 20
_AT_ONCE = 50
"""Watches opened together: a crowd at the door is another benchmark."""
_PATH = "/api/v1/pods?watch=1&allowWatchBookmarks=true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Resident KiB of a route's processes: first the one that clients talk to."""

    idle: list[int]
    """Before anything was asked."""
    warm: list[int]
    """After a few watches that ended."""
    crowded: dict[int, list[int]]
    """With so many watches."""
    alive: int
    """Watches that had not ended at the end."""

    def per_watch(self) -> list[float]:
        """What a watch adds to each process, at the largest number."""
        watches = max(self.crowded)
        pairs = zip(self.warm, self.crowded[watches], strict=True)
        return [(late - early) / watches for early, late in pairs]


def measure(
    processes: Processes, *, quick: bool, upstream_port: int | None = None, peer: Route | None = None
) -> list[Report]:
    """Start the programs in front of a server that only drips, and look at them before and after."""
    port = upstream_port or ports.free(1)[0]
    processes.start(
        "drip", [sys.executable, "-m", "bench.drip", str(port)], environment={"PYTHONPATH": stack.ROOT}
    )
    processes.wait_until(lambda: answers(port), "drip listens", timeout_s=10, expecting=["drip"])
    ours = stack.start(processes, f"http://127.0.0.1:{port}")
    if peer is not None:
        processes.wait_until(peer.passes, f"request passed {peer.name}", timeout_s=30, expecting=[])
    steps, more = ([100], [100, 200]) if quick else ([WATCHES], [WATCHES, MORE_WATCHES])
    native = asyncio.run(_look_at(ours.native, more))
    grpc = asyncio.run(_look_at(ours.grpc, steps))
    named = [("kasbah up (kas + hub)", "agentk, native", native), ("kas alone", "agentk, gRPC", grpc)]
    theirs = None
    if peer is not None:
        theirs = asyncio.run(_look_at(peer, steps))
        named.append((f"{peer.name}: server", f"{peer.name}: agent", theirs))
    header = ("process", "idle", *(f"{count:,} watches" for count in more), "KiB a watch")
    how = "Resident set of the processes, in MiB; watches that saw one event and then nothing."
    report = Report(title="Memory", how=how, header=header)
    for server, agent, footprint in named:
        report.rows += [_row(server, footprint, 0, more), _row(agent, footprint, 1, more)]
    report.goals = _goals(native, grpc, theirs)
    return [report]


def _row(name: str, footprint: Footprint, number: int, steps: list[int]) -> list[str]:
    crowded = [
        f"{footprint.crowded[count][number] / 1024:.1f}" if count in footprint.crowded else "-"
        for count in steps
    ]
    return [name, f"{footprint.idle[number] / 1024:.1f}", *crowded, f"{footprint.per_watch()[number]:.1f}"]


def _goals(native: Footprint, grpc: Footprint, peer: Footprint | None) -> list[Goal]:
    server, agent = native.per_watch()
    goals = [
        _at_most("kas + hub idle", native.idle[0] / 1024, IDLE_SERVER_MIB, "MiB"),
        _at_most("agentk idle", native.idle[1] / 1024, IDLE_AGENT_MIB, "MiB"),
        _at_most("a watch on kas", server, WATCH_SERVER_KIB, "KiB"),
        _at_most("a watch on agentk", agent, WATCH_AGENT_KIB, "KiB"),
    ]
    for name, footprint in (("native", native), ("gRPC", grpc)):
        most = max(footprint.crowded)
        what, alive = f"{name}: watches alive at the end", Spread.of([footprint.alive])
        goals.append(Goal(what=what, value=alive, bound=most, at_least=True))
    if peer is not None:
        few = min(peer.crowded)
        for when, ours, other, theirs in (
            ("idle", grpc.idle, native.idle, peer.idle),
            (f"with {few} watches", grpc.crowded[few], native.crowded[few], peer.crowded[few]),
        ):
            goals += [
                _share(f"kas alone, {when}", ours[0], theirs[0]),
                _share(f"agentk on the native tunnel, {when}", other[1], theirs[1]),
                _share(f"agentk over gRPC, {when}", ours[1], theirs[1]),
            ]
    return goals


def _at_most(what: str, value: float, bound: float, unit: str) -> Goal:
    return Goal(what=what, value=Spread.of([value]), bound=bound, unit=unit)


def _share(what: str, ours: int, theirs: int) -> Goal:
    return Goal(what=f"{what}, as a share of the peer's", value=Spread.of([ours / theirs]), bound=1)


async def _look_at(route: Route, steps: list[int]) -> Footprint:
    await asyncio.sleep(_SETTLE_S)
    idle = _resident(route)
    async with _Watches(route) as warm:
        await warm.open(_WARM)
    await asyncio.sleep(1)
    before = _resident(route)
    crowded: dict[int, list[int]] = {}
    async with _Watches(route) as crowd:
        for count in steps:
            await crowd.open(count - len(crowd))
            await asyncio.sleep(_SETTLE_S)
            crowded[count] = _resident(route)
        alive = crowd.alive()
    return Footprint(idle=idle, warm=before, crowded=crowded, alive=alive)


def _resident(route: Route) -> list[int]:
    return [resident_kib(pid) for pid in route.pids]


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

    def __init__(self, route: Route) -> None:
        address = urlsplit(route.url(_PATH))
        self._address = address.hostname or "", address.port or 80
        lines = [f"GET {address.path}?{address.query} HTTP/1.1", f"Host: {address.netloc}"]
        lines += [f"{name}: {value}" for name, value in route.headers.items()]
        self._request = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self._open: list[_Watch] = []

    async def __aenter__(self) -> Self:
        return self

    def __len__(self) -> int:
        return len(self._open)

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
