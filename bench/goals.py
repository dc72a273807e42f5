"""What a round's figures have to be beside those of nginx, and of a peer if there is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.results import Goal, Spread
from bench.stack import GRPC, NATIVE
from bench.wrk import Round

NGINX = "nginx, one hop"
DIRECT = "nginx, direct"
P99_AT_MOST = 3.0
"""As a multiple of nginx's."""

Rounds = Mapping[str, Sequence[Round]]
"""By the route's name; those of the same place were taken one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one case owes. None: only looked at."""

    share_of_nginx: float | None
    """The native tunnel's rate."""
    added_p50_ms: float | None = None
    """How much later the native tunnel's answer may be than without us."""
    times_the_peer: float
    """The native tunnel's rate; over gRPC we owe the peer's own."""
    cpu_of_the_peer: float | None
    """The share that the native tunnel may use of it for a request."""
    rate: Callable[[Round], float]
    """What is compared: requests or bytes a second."""


def requests(taken: Round) -> float:
    """Complete answers a second."""
    return taken.requests_per_s


def transfer(taken: Round) -> float:
    """Bytes a second: of large answers those count, too, that were not complete at the end."""
    return taken.bytes_per_s


def of(taken: Rounds, bounds: Bounds, *, peer: str | None = None) -> list[Goal]:
    """The goals of one case; those beside the peer only when there is one."""
    limit = None if bounds.share_of_nginx is None else P99_AT_MOST
    goals = [
        Goal(
            what="native: rate, as a share of nginx's",
            value=_ratio(taken, NATIVE, NGINX, bounds.rate),
            bound=bounds.share_of_nginx,
            at_least=True,
        ),
        Goal(
            what="native: p99, as a multiple of nginx's",
            value=_ratio(taken, NATIVE, NGINX, _wait),
            bound=limit,
        ),
        Goal(
            what="gRPC: rate, as a share of native's",
            value=_ratio(taken, GRPC, NATIVE, bounds.rate),
            bound=None,
        ),
        Goal(what="failed requests", value=Spread.of([_errors(taken)]), bound=0),
    ]
    if bounds.added_p50_ms is not None:
        goals.append(_added(taken, bounds.added_p50_ms))
    return goals if peer is None else goals + _beside(peer, taken, bounds)


def _beside(peer: str, taken: Rounds, bounds: Bounds) -> list[Goal]:
    owed = ((NATIVE, "native", bounds.times_the_peer, bounds.cpu_of_the_peer), (GRPC, "gRPC", 1.0, None))
    goals = []
    for route, name, rate, cpu in owed:
        goals += [
            Goal(
                what=f"{name}: rate, as a multiple of the peer's",
                value=_ratio(taken, route, peer, bounds.rate),
                bound=rate,
                at_least=True,
            ),
            Goal(
                what=f"{name}: CPU a request, as a share of the peer's",
                value=_ratio(taken, route, peer, _cpu),
                bound=cpu,
            ),
        ]
    return goals


def _added(taken: Rounds, bound: float) -> Goal:
    pairs = zip(taken[NATIVE], taken[DIRECT], strict=True)
    added = [ours.p50_ms - direct.p50_ms for ours, direct in pairs]
    return Goal(what="native: p50 added to direct", value=Spread.of(added), bound=bound, unit="ms")


def _ratio(taken: Rounds, route: str, other: str, figure: Callable[[Round], float]) -> Spread:
    return Spread.ratio([figure(r) for r in taken[route]], [figure(r) for r in taken[other]])


def _errors(taken: Rounds) -> int:
    return sum(r.errors for route in (NATIVE, GRPC) for r in taken[route])


def _wait(taken: Round) -> float:
    return taken.p99_ms


def _cpu(taken: Round) -> float:
    return taken.cpu_s_per_1000
