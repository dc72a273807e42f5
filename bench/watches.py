"""How much later an event is at its watch's client than without us: one at a time, and one to all of them."""

from __future__ import annotations

import asyncio
import statistics
from typing import Final

import httpx2

from bench import stack
from bench.api_server import ALL, ONE
from bench.crowd import Crowd
from bench.processes import cpu_seconds
from bench.results import Goal, Report, Spread
from bench.route import Route
from kasbah.kit import loop, open_files
from sandbox.processes import Processes

WATCHES: Final = 1000
CROWD: Final = 2000
P50_MS: Final = 0.5
P99_MS: Final = 2.0
LAST_MS: Final = 100.0
_EVERY_S: Final = 0.005
_SETTLE_S: Final = 1.0
_HEADER: Final = ("route", "p50 ms", "p99 ms", f"last of {CROWD:,}, ms", "CPU µs an event")


def measure(processes: Processes, *, quick: bool) -> list[Report]:
    """Both ways in turns, round by round."""
    open_files.raise_limit()
    ours = stack.start_before_stand_in(processes)
    direct = Route(name="direct", base=ours.api_server, pids=[])
    rounds, events = (3, 200) if quick else (5, 600)
    with asyncio.Runner(loop_factory=loop.loop_factory()) as runner:
        taken = {
            route.name: runner.run(_look_at(route, ours.api_server, rounds, events))
            for route in (direct, ours.native)
        }
    return [_report(taken[direct.name], taken[ours.native.name], rounds, events)]


class Taken:
    """What one route showed, in milliseconds, a figure a round."""

    def __init__(self) -> None:
        self.p50: list[float] = []
        self.p99: list[float] = []
        self.last: list[float] = []
        self.cpu_us = 0.0
        """Of the programs between, for an event to one watch when it goes to all of them."""


async def _look_at(route: Route, api_server: str, rounds: int, events: int) -> Taken:
    taken = Taken()
    async with httpx2.AsyncClient(base_url=api_server, trust_env=False) as order, Crowd(route) as crowd:
        await crowd.open(WATCHES)
        await order.post(ALL)
        await crowd.hear(WATCHES, timeout_s=10)
        await asyncio.sleep(_SETTLE_S)
        for _ in range(rounds):
            crowd.delays.clear()
            for _ in range(events):
                await order.post(ONE)
                await asyncio.sleep(_EVERY_S)
            await crowd.hear(events, timeout_s=10)
            cuts = statistics.quantiles(crowd.delays, n=100)
            taken.p50.append(cuts[49] * 1000)
            taken.p99.append(cuts[98] * 1000)
        await crowd.open(CROWD - len(crowd))
        await asyncio.sleep(_SETTLE_S)
        used = cpu_seconds(route.pids)
        for _ in range(rounds):
            crowd.delays.clear()
            await order.post(ALL)
            await crowd.hear(CROWD, timeout_s=10)
            taken.last.append(max(crowd.delays) * 1000)
            await asyncio.sleep(0.2)
        taken.cpu_us = (cpu_seconds(route.pids) - used) / rounds / CROWD * 1e6
    return taken


def _report(direct: Taken, ours: Taken, rounds: int, events: int) -> Report:
    how = (
        f"{rounds} rounds: {events} events to one of {WATCHES:,} watches each, 200 a second; then one event to all of "
        f"{CROWD:,}. First all rounds without us, then all with us; median (minimum to maximum)."
    )
    report = Report(title="Watches", how=how, header=_HEADER)
    for name, taken in (("direct", direct), (stack.NATIVE, ours)):
        shown = [_shown(figures) for figures in (taken.p50, taken.p99, taken.last)]
        report.rows.append([name, *shown, f"{taken.cpu_us:.0f}" if taken.cpu_us else "-"])
    report.goals = [
        _added("an event, p50 added", ours.p50, direct.p50, P50_MS),
        _added("an event, p99 added", ours.p99, direct.p99, P99_MS),
        Goal(what=f"the last of {CROWD:,}", value=Spread.of(ours.last), bound=LAST_MS, unit="ms"),
    ]
    return report


def _shown(figures: list[float]) -> str:
    return Spread.of(figures).show(lambda value: f"{value:.2f}")


def _added(what: str, ours: list[float], direct: list[float], bound: float) -> Goal:
    less = statistics.median(direct)
    return Goal(what=what, value=Spread.of([value - less for value in ours]), bound=bound, unit="ms")
