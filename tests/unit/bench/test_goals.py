from __future__ import annotations

from bench import goals
from bench.goals import DIRECT, NGINX, Bounds
from bench.stack import GRPC, NATIVE
from bench.wrk import Round

BOUNDS = Bounds(share_of_nginx=0.5, times_the_peer=20, cpu_of_the_peer=0.1, rate=goals.requests)


def taken(rate: float, *, cpu: float = 1, errors: int = 0, p50_ms: float = 1) -> list[Round]:
    return [
        Round(requests_per_s=rate, bytes_per_s=0, p50_ms=p50_ms, p99_ms=1, errors=errors, cpu_s_per_1000=cpu)
    ] * 3


ROUNDS = {NGINX: taken(1000), NATIVE: taken(600), GRPC: taken(60, cpu=5), "other": taken(40, cpu=20)}


def test_without_a_peer_nothing_is_said_of_it():
    found = goals.of(ROUNDS, BOUNDS)
    assert all(goal.met for goal in found)
    assert not [goal.what for goal in found if "peer" in goal.what]


def test_the_native_tunnel_owes_more_than_the_peer_and_grpc_as_much():
    found = {goal.what: goal for goal in goals.of(ROUNDS, BOUNDS, peer="other")}
    assert not found["native: rate, as a multiple of the peer's"].met
    assert found["native: CPU a request, as a share of the peer's"].met
    assert found["gRPC: rate, as a multiple of the peer's"].met
    assert found["gRPC: CPU a request, as a share of the peer's"].value.median == 0.25


def test_a_failed_request_is_a_missed_goal_whoever_lost_it():
    found = goals.of(ROUNDS | {GRPC: taken(60, errors=1)}, BOUNDS)
    assert [goal.what for goal in found if not goal.met] == ["failed requests"]


def test_what_we_add_is_counted_from_what_takes_its_time_anyway():
    bounds = Bounds(
        share_of_nginx=None, added_p50_ms=0.25, times_the_peer=1, cpu_of_the_peer=None, rate=goals.requests
    )
    found = {goal.what: goal for goal in goals.of(ROUNDS | {DIRECT: taken(2000, p50_ms=0.5)}, bounds)}
    added = found["native: p50 added to direct"]
    assert added.value.median == 0.5
    assert not added.met
