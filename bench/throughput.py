"""Requests a second, bytes a second and waiting time, all routes to the same upstream taking turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench import goals, nginx, stack, wrk
from bench.processes import family, resident_kib
from bench.results import Report, Spread
from bench.route import Route
from sandbox.processes import Processes

_HEADER = ("route", "requests/s", "MB/s", "p50 ms", "p99 ms", "CPU s per 1,000", "MiB", "errors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    title: str
    path: str
    connections: int
    bounds: goals.Bounds


def _small(*, share_of_nginx: float | None, added_p50_ms: float | None = None) -> goals.Bounds:
    return goals.Bounds(
        share_of_nginx=share_of_nginx,
        added_p50_ms=added_p50_ms,
        times_the_peer=20,
        cpu_of_the_peer=1 / 15,
        rate=goals.requests,
    )


SMALL = Case(
    title="Small answers (2 KiB, 32 connections)",
    path=nginx.SMALL,
    connections=32,
    bounds=_small(share_of_nginx=0.7),
)
SINGLE = Case(
    title="One client at a time (2 KiB, 1 connection)",
    path=nginx.SMALL,
    connections=1,
    bounds=_small(share_of_nginx=None, added_p50_ms=0.25),
)
MANY = Case(
    title="Many clients (2 KiB, 128 connections)",
    path=nginx.SMALL,
    connections=128,
    bounds=_small(share_of_nginx=None),
)
BULK = Case(
    title="Large answers (5 MiB, 4 connections)",
    path=nginx.BULK,
    connections=4,
    bounds=goals.Bounds(share_of_nginx=0.9, times_the_peer=10, cpu_of_the_peer=None, rate=goals.transfer),
)


def measure(
    processes: Processes,
    cases: Sequence[Case],
    *,
    rounds: int,
    seconds: int,
    upstream_port: int | None = None,
    peer: Route | None = None,
) -> list[Report]:
    """Start everything, take the rounds, one report a case."""
    upstream = nginx.start_upstream(processes, upstream_port)
    proxy = nginx.start_proxy(processes, upstream)
    ours = stack.start(processes, stack.ApiServer(url=upstream.url("")), direct=upstream.url(""))
    routes = [
        Route(name=goals.DIRECT, base=upstream.url(""), pids=family(upstream.pid)),
        Route(name=goals.NGINX, base=proxy.url(""), pids=family(proxy.pid)),
        *ours.routes,
    ]
    if peer is not None:
        processes.wait_until(peer.passes, f"request passed {peer.name}", timeout_s=30, expecting=[])
        routes.append(peer)
    return [_case(case, routes, rounds, seconds, peer.name if peer else None) for case in cases]


def _case(case: Case, routes: list[Route], rounds: int, seconds: int, peer: str | None) -> Report:
    taken: dict[str, list[wrk.Round]] = {route.name: [] for route in routes}
    for route in routes[1:]:
        _load(case, route, min(seconds, 1))  # connections, caches and code are warm in the first round too
    for _ in range(rounds):
        for route in routes:
            taken[route.name].append(_load(case, route, seconds))
    how = f"{rounds} rounds of {seconds} s each, the routes taking turns; median (minimum to maximum)."
    report = Report(title=case.title, how=how, header=_HEADER)
    report.rows = [_row(route, taken[route.name]) for route in routes]
    report.goals = goals.of(taken, case.bounds, peer=peer)
    return report


def _load(case: Case, route: Route, seconds: int) -> wrk.Round:
    return wrk.run(
        route.url(case.path),
        connections=case.connections,
        seconds=seconds,
        pids=route.pids,
        headers=route.headers,
    )


def _row(route: Route, rows: list[wrk.Round]) -> list[str]:
    return [
        route.name,
        Spread.of([r.requests_per_s for r in rows]).show(lambda v: f"{v:,.0f}"),
        Spread.of([r.bytes_per_s / 1e6 for r in rows]).show(lambda v: f"{v:,.0f}"),
        Spread.of([r.p50_ms for r in rows]).show(lambda v: f"{v:.2f}"),
        Spread.of([r.p99_ms for r in rows]).show(lambda v: f"{v:.2f}"),
        Spread.of([r.cpu_s_per_1000 for r in rows]).show(lambda v: f"{v:.3f}"),
        " + ".join(f"{resident_kib(pid) / 1024:.0f}" for pid in route.pids),
        str(sum(r.errors for r in rows)),
    ]
