"""What people see when a part is killed, and how soon it is over: kas, agentk, the API server; each with kill -9."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e.watching import ask
from tests.e2e.world import World, free_port, wait_for

RECOVERY_S = 5.0
OPEN_REQUESTS = "kasbah_agentk_kubernetes_api_open_requests"


def until_answered(world: World, began: float, timeout_s: float = 20) -> tuple[float, list[str]]:
    """Ask until kubectl is answered: seconds since `began`, and what it said meanwhile."""
    errors: list[str] = []
    while True:
        answer = world.kubectl("get", "namespaces", "-o", "name", "--request-timeout=10s", check=False)
        if answer.returncode == 0:
            return time.monotonic() - began, errors
        errors.append(answer.stderr.strip())
        assert time.monotonic() - began < timeout_s, "\n".join(
            [*errors[-3:], world.up.tail(), world.agentk.tail()]
        )


def test_killing_kas_costs_clear_errors_and_seconds(fresh_world: World):
    world = fresh_world
    world.up.kill()
    refused = world.kubectl("get", "namespaces", check=False)
    assert "refused" in refused.stderr
    world.up.start(first_line=True)
    recovery_s, _ = until_answered(world, time.monotonic())
    assert recovery_s <= RECOVERY_S


def test_killing_agentk_says_that_the_agent_is_expected_back(fresh_world: World):
    world = fresh_world
    world.agentk.kill()
    away = ask(world, "/api/v1/namespaces")
    assert (away.status_code, away.headers["retry-after"]) == (503, "1")
    assert "the agent is not connected just now and is expected back" in away.json()["message"]
    world.agentk.start()
    recovery_s, _ = until_answered(world, time.monotonic())
    assert recovery_s <= RECOVERY_S


def test_a_watch_outlives_its_agent_and_no_stream_is_left_of_it(fresh_world: World):
    world = fresh_world
    with world.background("get", "namespaces", "-w", "-o", "name") as watch:
        assert watch.stdout is not None
        wait_for(lambda: world.metric(world.agentk_metrics, OPEN_REQUESTS) >= 1)
        world.agentk.kill()
        world.agentk.start()
        wait_for(lambda: world.metric(world.up_metrics, "kasbah_kas_watches_broken") == 0, 15)
        until_answered(world, time.monotonic())
        assert watch.poll() is None
    wait_for(lambda: world.metric(world.agentk_metrics, OPEN_REQUESTS) == 0)
    wait_for(lambda: world.metric(world.up_metrics, "kasbah_kas_kubernetes_api_underway") == 0)


def test_killing_the_api_server_is_told_at_once(fresh_world: World):
    world = fresh_world
    world.cluster.stop_api_server()
    try:
        began = time.monotonic()
        down = world.kubectl("get", "namespaces", check=False)
        assert "connection refused" in down.stderr
        assert time.monotonic() - began < RECOVERY_S
    finally:
        world.cluster.start_api_server()
    recovery_s, _ = until_answered(world, time.monotonic())
    assert recovery_s <= RECOVERY_S


def test_nothing_acknowledged_is_lost_by_kill_9(fresh_world: World):
    world = fresh_world
    for number in range(5):
        made = world.rest("POST", "/projects", {"name": f"kept-{number}"}, expect=201)
        world.up.kill()
        world.up.start(first_line=True)
        assert isinstance(made, dict)
        kept = world.rest("GET", f"/projects/{made['id']}")
        assert isinstance(kept, dict)
        assert kept["name"] == f"kept-{number}"
    until_answered(world, time.monotonic())


def test_sigterm_drains_and_exits_0(fresh_world: World):
    world = fresh_world
    with world.background("get", "namespaces", "-w", "-o", "name") as watch:
        assert watch.stdout is not None
        watch.stdout.readline()
        began = time.monotonic()
        assert world.up.stop() == 0
        assert time.monotonic() - began < RECOVERY_S
    world.up.start(first_line=True)
    until_answered(world, time.monotonic())
    assert world.agentk.stop() == 0
    world.agentk.start()
    until_answered(world, time.monotonic())


def test_a_second_pod_takes_over_from_a_killed_one(fresh_world: World):
    world = fresh_world
    second = world.new_agentk("agentk-2", free_port())
    second.start()
    try:
        wait_for(lambda: world.metric(world.up_metrics, "kasbah_kas_tunnels_ready") == 2)
        world.agentk.kill()
        recovery_s, errors = until_answered(world, time.monotonic())
        assert (recovery_s <= RECOVERY_S, errors) == (True, [])
    finally:
        second.kill()
        world.agentk.start()
        until_answered(world, time.monotonic())


def applied(log: Path) -> int:
    return log.read_text().count('"configuration applied"')


def test_a_push_reaches_the_agent_within_a_second(fresh_world: World):
    world = fresh_world
    before = applied(world.agentk.log)
    world.push_configuration("observability: {logging: {level: debug}}\n" + world.configuration)
    assert wait_for(lambda: applied(world.agentk.log) > before) < 1.0


def test_a_broken_configuration_is_named_and_the_old_one_stays(fresh_world: World):
    world = fresh_world
    world.push_configuration("user_acess: {}\n")
    wait_for(lambda: "did you mean" in world.agentk.log.read_text())
    assert world.kubectl("get", "namespaces").returncode == 0
    world.push_configuration(world.configuration)


def test_a_revoked_agent_token_cuts_within_ten_seconds(fresh_world: World):
    world = fresh_world
    tokens = f"/projects/ops%2Ffleet/cluster_agents/{world.agent_id}/tokens"
    with world.background("get", "namespaces", "-w", "-o", "name") as watch:
        assert watch.stdout is not None
        watch.stdout.readline()
        listed = world.rest("GET", tokens)
        assert isinstance(listed, list)
        world.rest("DELETE", f"{tokens}/{listed[0]['id']}", expect=204)
        wait_for(lambda: world.metric(world.up_metrics, "kasbah_kas_tunnels_ready") == 0, 10)
        wait_for(lambda: "unauthenticated" in world.agentk.log.read_text())
        assert world.metric(world.up_metrics, "kasbah_kas_watches_broken") == 1
        world.new_token(world.agent_id)
        world.agentk.kill()
        world.agentk.start()
        wait_for(lambda: world.metric(world.up_metrics, "kasbah_kas_watches_broken") == 0, 15)
        assert watch.poll() is None
    until_answered(world, time.monotonic())


def test_a_revoked_person_loses_a_running_watch_within_ten_seconds(fresh_world: World):
    world = fresh_world
    made = world.rest(
        "POST", "/user/personal_access_tokens", {"name": "w", "scopes": ["k8s_proxy"]}, expect=201
    )
    assert isinstance(made, dict)
    bearer = f"pat:{world.agent_id}:{made['token']}"
    with world.background("--token", bearer, "get", "namespaces", "-w", "-o", "name") as watch:
        assert watch.stdout is not None
        watch.stdout.readline()
        world.rest("DELETE", f"/personal_access_tokens/{made['id']}", expect=204)
        watch.wait(10.5)
    again = world.kubectl("--token", bearer, "get", "namespaces", check=False)
    assert "Unauthorized" in again.stderr


@pytest.fixture(autouse=True)
def whole(fresh_world: World):
    """Every test finds and leaves a world that answers."""
    assert fresh_world.agentk.process is not None
    until_answered(fresh_world, time.monotonic())
