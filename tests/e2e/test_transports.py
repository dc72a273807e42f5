"""Our agentk before our kas over every tunnel it can take: the same kubectl, the same faults, the same promises.

One world, and agentk starts anew for each way.
"""

from __future__ import annotations

import json
import logging
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import sandbox
from tests.e2e.kubectl import (
    MIB,
    config_map,
    copy_there_and_back,
    deployment,
    forward_a_port,
    read_line,
    run_pod,
    running,
)
from tests.e2e.roads import ONE_OF_EACH_ENGINE, WAYS, Road
from tests.e2e.world import Program, World, free_port, wait_for, world

pytestmark = pytest.mark.cluster
_log = logging.getLogger(__name__)

RECOVERY_S = 5.0
BROKEN = "kasbah_kas_watches_broken"
REVOKED_S = 10.0
AT_ONCE_S = 1.0


@pytest.fixture(scope="module")
def here(control_plane: sandbox.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("transports"), control_plane) as made:
        made.agentk.kill()
        yield made


@pytest.fixture(scope="module", params=WAYS)
def road(here: World, request: pytest.FixtureRequest) -> Iterator[Road]:
    made = Road(here, request.param)
    made.agentk.start()
    try:
        here.wait_for_agent()
        yield made
    finally:
        made.agentk.kill()


@pytest.fixture(scope="module")
def pod(here: World, road: Road) -> str:
    return run_pod(here)


# -- what people do --------------------------------------------------------------------------------------------------


def test_it_is_the_tunnel_that_was_asked_for(road: Road):
    connected = [event for event in road.world.up.events() if event["event"] == "agent connected"]
    assert connected[-1]["transport"] == road.way.tunnel, road.logs()
    assert road.world.metric(road.world.up_metrics, "kasbah_kas_agents_connected") == 1


def test_objects_are_listed_applied_and_deleted(road: Road):
    name, kubectl = f"e2e-{uuid4().hex[:8]}", road.world.kubectl
    assert "Ready" in kubectl("get", "nodes").stdout
    assert "created" in kubectl("apply", "-f", "-", stdin=config_map(name, a="1")).stdout
    assert "configured" in kubectl("apply", "-f", "-", stdin=config_map(name, a="2")).stdout
    applied = kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=config_map(name, b="3"))
    assert "serverside-applied" in applied.stdout
    assert json.loads(kubectl("get", "configmap", name, "-o", "json").stdout)["data"]["b"] == "3"
    kubectl("delete", "configmap", name)


def test_a_deployment_rolls_out(road: Road):
    name, kubectl = f"web-{uuid4().hex[:8]}", road.world.kubectl
    kubectl("apply", "-f", "-", stdin=deployment(name))
    kubectl("rollout", "status", f"deployment/{name}", "--timeout=30s")
    kubectl("delete", "deployment", name)


def test_a_watch_sees_an_event_at_once(road: Road):
    name = f"seen-{uuid4().hex[:8]}"
    only = f"--field-selector=metadata.name={name}"
    with running(road.world, "get", "configmaps", "-w", "--no-headers", only) as watch:
        wait_for(lambda: open_requests(road) == 1, told=road.logs)
        road.world.cluster.kubectl("create", "configmap", name)
        began = time.monotonic()
        assert name in read_line(watch)
        assert time.monotonic() - began < AT_ONCE_S
    road.world.cluster.kubectl("delete", "configmap", name)
    wait_for(lambda: open_requests(road) == 0, told=road.logs)


def open_requests(road: Road) -> float:
    return road.world.metric(road.world.agentk_metrics, "kasbah_agentk_kubernetes_api_open_requests")


@pytest.mark.parametrize("disable", ["", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS"], ids=["websocket", "spdy"])
def test_exec_passes_input_output_and_the_exit_code(road: Road, pod: str, disable: str):
    environment = road.world.environment | ({disable: "false"} if disable else {})
    done = subprocess.run(
        road.world.kubectl_argv("exec", "-i", pod, "--", "sh", "-c", "tr a-z A-Z; echo bad >&2; exit 7"),
        input=b"x" * MIB,
        capture_output=True,
        env=environment,
        timeout=30,
        check=False,
    )
    assert (done.stdout == b"X" * MIB, done.returncode) == (True, 7), road.logs()
    assert done.stderr.startswith(b"bad")


@pytest.mark.parametrize("disable", ["", "KUBECTL_PORT_FORWARD_WEBSOCKETS"], ids=["websocket", "spdy"])
def test_a_forwarded_port_answers(road: Road, pod: str, disable: str):
    forward_a_port(road.world, pod, road.world.environment | ({disable: "false"} if disable else {}))


def test_logs_follow_as_they_grow(road: Road, pod: str):
    with running(road.world, "logs", "-f", "--tail=1", pod) as process:
        numbers = [int(read_line(process).removeprefix("tick ")) for _ in range(3)]
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_cp_brings_4_mib_there_and_back(road: Road, pod: str, tmp_path: Path):
    copy_there_and_back(road.world, pod, 4 * MIB, tmp_path)


def test_a_pushed_configuration_is_applied_within_a_second(road: Road):
    before = applied(road)
    road.world.push_configuration(f"# {uuid4()}\n{road.world.configuration}")
    assert wait_for(lambda: applied(road) > before, told=road.logs) < AT_ONCE_S


def applied(road: Road) -> int:
    return sum(event["event"] == "configuration applied" for event in road.agentk.events())


# -- what goes wrong -------------------------------------------------------------------------------------------------

one_of_each_engine = pytest.mark.parametrize("road", ONE_OF_EACH_ENGINE, indirect=True)


def until_answered(road: Road, *options: str) -> float:
    """Until kubectl is answered; how long that took, in seconds."""

    def answered() -> bool:
        asked = road.world.kubectl(*options, "get", "--raw", "/version", "--request-timeout=10s", check=False)
        return asked.returncode == 0

    return wait_for(answered, 20, told=road.logs)


@contextmanager
def typing(road: Road, pod: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """An exec that echoes, and has done so."""
    with running(road.world, *options, "exec", "-i", pod, "--", "cat", stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        assert read_line(process) == "hello\n"
        yield process


@one_of_each_engine
def test_killing_kas_under_an_exec_ends_it_with_an_error(road: Road, pod: str):
    up = road.world.up
    with typing(road, pod) as process:
        up.kill()
        _, said = process.communicate(timeout=10)
    assert process.returncode != 0
    assert said, "kubectl said nothing"
    up.start(first_line=True)
    recovery_s = until_answered(road)
    _log.info("answered %.2f s after the start of kas", recovery_s)
    assert recovery_s <= RECOVERY_S, road.logs()


@pytest.mark.parametrize("road", ["ws", "grpc"], indirect=True)
def test_a_pod_that_is_told_to_stop_leaves_its_work_to_another(road: Road):
    world = road.world
    second = road.pod(f"agentk-{road.name}-2", free_port())
    with running(world, "get", "namespaces", "-w", "-o", "name") as watch:
        read_line(watch)
        second.start()
        try:
            wait_for(lambda: world.metric(world.up_metrics, "kasbah_kas_tunnels_ready") == 2, told=road.logs)
            road.agentk.terminate()
            began = time.monotonic()
            until_answered(road)
            assert road.agentk.wait(20) == 0
            assert time.monotonic() - began < 15, road.logs()
            wait_for(lambda: world.metric(world.up_metrics, BROKEN) == 0, told=road.logs)
            assert watch.poll() is None
        finally:
            second.kill()
            road.agentk.start()
            until_answered(road)


class People:
    """A second agent, whose configuration impersonates, and somebody who may use it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.agent_id = world.register("people")
        self.token_id = world.new_token(self.agent_id, "people-token")
        world.push_configuration(
            "user_access: {access_as: {user: {}}, projects: [{id: ops/fleet}]}", "people"
        )
        self.bearer = f"--token=pat:{self.agent_id}:{world.user_token}"

    def revoke(self) -> None:
        """The token; there is another for the next pod."""
        self.world.revoke_token(self.agent_id, self.token_id)
        self.token_id = self.world.new_token(self.agent_id, "people-token")


@pytest.fixture(scope="module")
def people(here: World) -> Iterator[People]:
    name = f"e2e-{uuid4().hex[:8]}"
    root = ["--clusterrole=cluster-admin", "--user=gitlab:user:root"]
    here.cluster.kubectl("create", "clusterrolebinding", name, *root)
    yield People(here)
    here.cluster.kubectl("delete", "clusterrolebinding", name)


@contextmanager
def pod_of(people: People, road: Road) -> Iterator[Program]:
    """A pod of that agent on this road."""
    pod = road.pod(f"people-{uuid4().hex[:8]}", free_port(), "people-token")
    pod.start()
    try:
        until_answered(road, people.bearer)
        yield pod
    finally:
        pod.kill()


def test_a_person_is_seen_as_herself_and_not_as_the_agent(road: Road, people: People):
    with pod_of(people, road):
        done = road.world.kubectl(people.bearer, "auth", "whoami", "-o", "json")
        seen: dict[str, Any] = json.loads(done.stdout)["status"]["userInfo"]
    assert seen["username"] == "gitlab:user:root"
    assert {"gitlab:user", "system:authenticated"} < set(seen["groups"])
    assert seen["extra"]["agent.gitlab.com/id"] == [str(people.agent_id)]


def test_whoever_acts_as_the_agent_may_be_somebody_else(road: Road):
    as_alice = ["--as=alice", "--as-group=readers", "--as-uid=a-1"]
    done = road.world.kubectl(*as_alice, "auth", "whoami", "-o", "json")
    seen: dict[str, Any] = json.loads(done.stdout)["status"]["userInfo"]
    assert seen == {"username": "alice", "uid": "a-1", "groups": ["readers", "system:authenticated"]}


@one_of_each_engine
def test_a_revoked_token_cuts_what_runs_and_agentk_says_why(road: Road, people: People, pod: str):
    watched = [people.bearer, "get", "namespaces", "-w", "-o", "name"]
    with (
        pod_of(people, road) as agentk,
        running(road.world, *watched) as watch,
        typing(road, pod, people.bearer) as typed,
    ):
        read_line(watch)
        people.revoke()
        began = time.monotonic()
        typed.wait(REVOKED_S)
        broken_s = REVOKED_S - (time.monotonic() - began)
        wait_for(lambda: road.world.metric(road.world.up_metrics, BROKEN) == 1, broken_s, told=road.logs)
        assert watch.poll() is None, "it waits for an agent with another token"
        _log.info("cut %.2f s after the token was revoked", time.monotonic() - began)
        left = REVOKED_S - (time.monotonic() - began)
        wait_for(lambda: "unauthenticated" in agentk.log.read_text(), left, told=agentk.tail)
