"""Requests a second, bytes a second and waiting time, beside nginx as a reverse proxy one hop before the same upstream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench import nginx, stack, wrk
from bench.processes import family
from bench.results import Goal, Report, Spread
from sandbox.processes import Processes

_HEADER = ("route", "requests/s", "MB/s", "p50 ms", "p99 ms", "CPU s per 1,000", "errors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way to the upstream, and the processes that are charged for it."""

    name: str
    base: str
    pids: list[int]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    title: str
    path: str
    connections: int
    at_least: float | None
    """The share of nginx's rate that we owe; None: only looked at."""


SMALL = Case(title="Small answers (2 KiB, 32 connections)", path=nginx.SMALL, connections=32, at_least=0.6)
SINGLE = Case(
    title="One client at a time (2 KiB, 1 connection)", path=nginx.SMALL, connections=1, at_least=None
)
BULK = Case(title="Large answers (5 MiB, 4 connections)", path=nginx.BULK, connections=4, at_least=0.8)
P99_AT_MOST = 3.0


def measure(processes: Processes, cases: list[Case], *, rounds: int, seconds: int) -> list[Report]:
    """Start everything, take the rounds, one report a case."""
    upstream = nginx.start_upstream(processes)
    peer = nginx.start_proxy(processes, upstream)
    ours = stack.start(processes, f"http://127.0.0.1:{upstream.port}")
    routes = [
        Route(name="nginx, direct", base=upstream.url(""), pids=family(upstream.pid)),
        Route(name="nginx, one hop", base=peer.url(""), pids=family(peer.pid)),
        Route(name="kas + agentk", base=ours.proxy_url, pids=ours.pids, headers=ours.headers),
    ]
    return [_case(case, routes, rounds, seconds) for case in cases]


def _case(case: Case, routes: list[Route], rounds: int, seconds: int) -> Report:
    taken: dict[str, list[wrk.Round]] = {route.name: [] for route in routes}
    for route in routes[1:]:
        _load(case, route, min(seconds, 1))  # connections, caches and code are warm in the first round too
    for _ in range(rounds):
        for route in routes:
            taken[route.name].append(_load(case, route, seconds))
    how = f"{rounds} rounds of {seconds} s each, the routes taking turns; median (minimum to maximum)."
    report = Report(title=case.title, how=how, header=_HEADER)
    report.rows = [_row(name, rows) for name, rows in taken.items()]
    report.goals = _goals(case, taken["kas + agentk"], taken["nginx, one hop"])
    return report


def _load(case: Case, route: Route, seconds: int) -> wrk.Round:
    return wrk.run(
        route.base + case.path,
        connections=case.connections,
        seconds=seconds,
        pids=route.pids,
        headers=route.headers,
    )


def _row(name: str, rows: list[wrk.Round]) -> list[str]:
    return [
        name,
        Spread.of([r.requests_per_s for r in rows]).show(lambda v: f"{v:,.0f}"),
        Spread.of([r.bytes_per_s / 1e6 for r in rows]).show(lambda v: f"{v:,.0f}"),
        Spread.of([r.p50_ms for r in rows]).show(lambda v: f"{v:.2f}"),
        Spread.of([r.p99_ms for r in rows]).show(lambda v: f"{v:.2f}"),
        Spread.of([r.cpu_s_per_1000 for r in rows]).show(lambda v: f"{v:.3f}"),
        str(sum(r.errors for r in rows)),
    ]


def _goals(case: Case, ours: list[wrk.Round], peer: list[wrk.Round]) -> list[Goal]:
    errors = Goal(what="failed requests", value=sum(r.errors for r in ours), bound=0)
    if case.at_least is None:
        return [errors]
    # Round by round: neighbours in time share the machine's mood.
    pairs = list(zip(ours, peer, strict=True))
    rate = Spread.of([a.bytes_per_s / b.bytes_per_s for a, b in pairs])
    wait = Spread.of([a.p99_ms / b.p99_ms for a, b in pairs])
    return [
        Goal(what="rate, as a share of nginx's", value=rate.median, bound=case.at_least, at_least=True),
        Goal(what="p99, as a multiple of nginx's", value=wait.median, bound=P99_AT_MOST),
        errors,
    ]
