"""Resident memory: idle programs, and what each idle watch adds to them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass

from bench import stack
from bench.crowd import Crowd
from bench.processes import resident_kib
from bench.results import Goal, Report, Spread
from bench.route import Route
from kasbah.kit import loop, open_files
from sandbox.processes import Processes

IDLE_AGENT_MIB = 48.0
IDLE_SERVER_MIB = 110.0
WATCH_SERVER_KIB = 16.0
WATCH_AGENT_KIB = 48.0
WATCHES = 500
"""On every route: GitLab's agentk holds as many tunnels."""
MORE_WATCHES = 10_000
"""On the native tunnel, through one agentk."""
_SETTLE_S = 4.0
_WARM = 20


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
    """Start the programs in front of a server that watches, and look at them before and after."""
    open_files.raise_limit()
    ours = stack.start_before_stand_in(processes, upstream_port)
    if peer is not None:
        processes.wait_until(peer.passes, f"request passed {peer.name}", timeout_s=30, expecting=[])
    steps, more = ([100], [100, 1000]) if quick else ([WATCHES], [WATCHES, MORE_WATCHES])
    native = _run(_look_at(ours.native, more))
    grpc = _run(_look_at(ours.grpc, steps))
    named = [("kasbah up (kas + hub)", "agentk, native", native), ("kas alone", "agentk, gRPC", grpc)]
    theirs = None
    if peer is not None:
        theirs = _run(_look_at(peer, steps))
        named.append((f"{peer.name}: server", f"{peer.name}: agent", theirs))
    header = ("process", "idle", *(f"{count:,} watches" for count in more), "KiB a watch")
    how = (
        "Resident set of the processes, in MiB; watches that saw one event and then nothing. agentk speaks TLS to the "
        "API server, on a connection a watch."
    )
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
    async with Crowd(route) as warm:
        await warm.open(_WARM)
    await asyncio.sleep(1)
    before = _resident(route)
    crowded: dict[int, list[int]] = {}
    async with Crowd(route) as crowd:
        for count in steps:
            await crowd.open(count - len(crowd))
            await asyncio.sleep(_SETTLE_S)
            crowded[count] = _resident(route)
        alive = crowd.alive()
    return Footprint(idle=idle, warm=before, crowded=crowded, alive=alive)


def _run(looking: Coroutine[object, object, Footprint]) -> Footprint:
    with asyncio.Runner(loop_factory=loop.loop_factory()) as runner:
        return runner.run(looking)


def _resident(route: Route) -> list[int]:
    return [resident_kib(pid) for pid in route.pids]
