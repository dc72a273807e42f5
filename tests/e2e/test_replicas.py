"""Two kas behind a load balancer, a Redis between them, the hub in a third process: it does not matter who holds whom."""

from __future__ import annotations

import base64
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

import sandbox
from kasbah import __version__
from kasbah.wire.pb.gitlab.agent.agent_tracker.agent_tracker_pb2 import ConnectedAgentInfo
from tests.doubles.redis_server import RedisServer
from tests.e2e.kas_program import KasProgram
from tests.e2e.kubectl import (
    MIB,
    config_map,
    copy_there_and_back,
    forward_a_port,
    read_line,
    run_pod,
    running,
)
from tests.e2e.load_balancer import LoadBalancer, load_balancer
from tests.e2e.watching import ask
from tests.e2e.world import Program, World, free_port, wait_for, world

pytestmark = pytest.mark.cluster
_log = logging.getLogger(__name__)

RECOVERY_S = 5.0
AT_ONCE_S = 2.0
EXPECTED = "the agent is not connected just now and is expected back"
BROKEN = "kasbah_kas_watches_broken"
LEASED = "kasbah_kas_kubernetes_api_leased_streams"
ROUTED = "kasbah_kas_routed_requests_total"


class Replicas:
    """Two kas of one deployment, and an agent that reaches either by one address."""

    def __init__(self, world: World, redis: RedisServer, api: int) -> None:
        self.world, self.redis = world, redis
        secret = world.directory / "private-api-secret"
        secret.write_bytes(base64.b64encode(os.urandom(32)))
        self.kas = [self._kas("kas-0", secret, api), self._kas("kas-1", secret)]
        self.agentk: Program = world.agentk
        self.balancer: LoadBalancer

    def _kas(self, name: str, secret: Path, api: int = 0) -> KasProgram:
        listen = {"address": f"127.0.0.1:{free_port()}", "authentication_secret_file": str(secret)}
        return KasProgram(
            self.world,
            name,
            self.world.directory,
            api=api,
            redis={"server": {"address": f"127.0.0.1:{self.redis.port}"}},
            private_api={"listen": listen | {"listen_grace_period": "0.1s"}},
        )

    def connect(self, scheme: str) -> None:
        """An agentk that dials the load balancer."""
        address = f"{scheme}://127.0.0.1:{self.balancer.port}"
        self.agentk = self.world.agentk = self.world.new_agentk(
            f"agentk-{scheme}", self.world.ports["probe"], address=address
        )
        self.agentk.start()

    def move_agent(self, index: int) -> KasProgram:
        """Until the agent is connected to this one, and to no other; and the other one is up, too."""
        here, other = self.kas[index], self.kas[1 - index]
        self.balancer.ports = [here.agents, other.agents]
        for kas in self.kas:
            if kas.process is None or kas.process.poll() is not None:
                kas.start()
                wait_for(lambda kas=kas: self.is_up(kas), 20, told=self.logs)
        if self.holder() is not here:
            self.agentk.kill()
            self.agentk.start()
        wait_for(lambda: self.holder() is here, 20, told=self.logs)
        for kas in self.kas:
            self.until_answered(kas)
        return here

    @staticmethod
    def is_up(kas: KasProgram) -> bool:
        return Replicas.agents_at(kas) >= 0

    @staticmethod
    def agents_at(kas: KasProgram) -> float:
        """How many pods are connected to this one; -1 when it does not run."""
        try:
            return World.metric(kas.metrics, "kasbah_kas_tunnels_ready")
        except httpx2.TransportError:
            return -1

    def holder(self) -> KasProgram | None:
        """The kas that the agent is connected to."""
        held = [kas for kas in self.kas if self.agents_at(kas) > 0]
        return held[0] if len(held) == 1 else None

    def until_answered(self, kas: KasProgram, timeout_s: float = 20) -> float:
        """Until kubectl is answered through this one; how long that took, in seconds."""
        asked = ["get", "--raw", "/version", "--request-timeout=10s"]
        return wait_for(
            lambda: kas.world.kubectl(*asked, check=False).returncode == 0, timeout_s, told=self.logs
        )

    def logs(self) -> str:
        """What to look at when a test failed."""
        programs = [self.world.up, *self.kas, self.agentk]
        return "\n".join(f"{program.name}:\n{program.tail(15)}" for program in programs)


@pytest.fixture(scope="module")
def alone(
    control_plane: sandbox.Cluster, tmp_path_factory: pytest.TempPathFactory, redis: RedisServer
) -> Iterator[Replicas]:
    """Without an agent."""
    api = free_port()
    with world(
        tmp_path_factory.mktemp("replicas"), control_plane, f"--kas-api=grpc://127.0.0.1:{api}"
    ) as hub:
        hub.agentk.kill()
        made = Replicas(hub, redis, api)
        with load_balancer(*(kas.agents for kas in made.kas)) as made.balancer:
            try:
                yield made
            finally:
                for kas in made.kas:
                    kas.kill()


@pytest.fixture(scope="module", params=["ws", "grpc"])
def replicas(alone: Replicas, request: pytest.FixtureRequest) -> Iterator[Replicas]:
    alone.connect(request.param)
    try:
        yield alone
    finally:
        alone.agentk.kill()


@pytest.fixture
def holder(replicas: Replicas) -> KasProgram:
    """The kas that holds the agent."""
    return replicas.move_agent(0)


@pytest.fixture
def other(holder: KasProgram, replicas: Replicas) -> KasProgram:
    """The one that does not."""
    return replicas.kas[1 - replicas.kas.index(holder)]


@pytest.fixture(scope="module")
def pod(alone: Replicas) -> str:
    """Made without our help, so that it is there whoever runs."""
    return run_pod(alone.world.cluster)


def test_both_show_the_same(holder: KasProgram, other: KasProgram):
    names = [kas.world.kubectl("get", "namespaces", "-o", "name").stdout for kas in (holder, other)]
    assert "namespace/kube-system" in names[0]
    assert names[0] == names[1]
    assert World.metric(other.metrics, ROUTED) > 0


def test_both_say_who_is_connected(replicas: Replicas, holder: KasProgram, other: KasProgram):
    def told() -> list[list[ConnectedAgentInfo]]:
        return [kas.connected_agents(replicas.world.agent_id) for kas in (holder, other)]

    wait_for(lambda: all(told()), told=replicas.logs)
    here, there = told()
    assert here == there, replicas.logs()
    # What a kas that was killed had said is remembered for some minutes.
    agent = max(here, key=lambda agent: agent.connected_at.ToNanoseconds())
    assert agent.agent_id == replicas.world.agent_id
    assert agent.agent_meta.version == f"v{__version__}"
    assert agent.agent_meta.pod_name == socket.gethostname()


def test_objects_are_applied_through_the_other_kas(other: KasProgram):
    name, kubectl = f"e2e-{uuid4().hex[:8]}", other.world.kubectl
    assert "created" in kubectl("apply", "-f", "-", stdin=config_map(name, a="1")).stdout
    assert (
        "serverside-applied"
        in kubectl(
            "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=config_map(name, a="2")
        ).stdout
    )
    kubectl("delete", "configmap", name)


def test_a_watch_through_the_other_kas_sees_an_event_at_once(replicas: Replicas, other: KasProgram):
    name, cluster = f"seen-{uuid4().hex[:8]}", replicas.world.cluster
    with running(other.world, "get", "configmaps", "-w", "--no-headers", "-o", "name") as watch:
        read_line(watch)
        cluster.kubectl("create", "configmap", name)
        began = time.monotonic()
        while name not in read_line(watch):
            pass
        assert time.monotonic() - began < AT_ONCE_S, replicas.logs()
    cluster.kubectl("delete", "configmap", name)


def test_exec_cp_and_port_forward_pass_two_kas(other: KasProgram, pod: str, tmp_path: Path):
    done = other.world.kubectl(
        "exec", "-i", pod, "--", "sh", "-c", "tr a-z A-Z; exit 7", stdin="hello", check=False
    )
    assert (done.stdout, done.returncode) == ("HELLO", 7)
    copy_there_and_back(other.world, pod, 4 * MIB, tmp_path)
    forward_a_port(other.world, pod)


@pytest.mark.parametrize("index", [0, 1], ids=["the kas that was told", "the other one"])
def test_a_push_told_to_the_hub_reaches_the_agent_wherever_it_is(replicas: Replicas, index: int):
    replicas.move_agent(index)
    wait_for(lambda: applied(replicas) > 0, told=replicas.logs)
    before = applied(replicas)
    replicas.world.push_configuration(f"# {uuid4()}\n{replicas.world.configuration}")
    took_s = wait_for(lambda: applied(replicas) > before, told=replicas.logs)
    _log.info("configuration applied %.2f s after the push", took_s)
    assert took_s < AT_ONCE_S


def applied(replicas: Replicas) -> int:
    return sum(event["event"] == "configuration applied" for event in replicas.agentk.events())


def test_when_the_kas_that_holds_the_agent_dies_the_other_one_takes_over(
    replicas: Replicas, holder: KasProgram, other: KasProgram
):
    with running(other.world, "get", "namespaces", "-w", "-o", "name") as watch:
        read_line(watch)
        wait_for(lambda: World.metric(other.metrics, LEASED) == 1, told=replicas.logs)  # past the list
        holder.kill()
        began = time.monotonic()
        replicas.until_answered(other)
        recovery_s = time.monotonic() - began
        wait_for(lambda: World.metric(other.metrics, BROKEN) == 0, told=replicas.logs)
        assert watch.poll() is None
    _log.info("answered %.2f s after kill -9", recovery_s)
    assert recovery_s <= RECOVERY_S, f"{recovery_s:.2f} s\n{replicas.logs()}"
    assert replicas.holder() is other


def test_when_kubectls_kas_dies_the_other_one_answers_at_once(
    replicas: Replicas, holder: KasProgram, other: KasProgram
):
    other.kill()
    assert replicas.until_answered(holder) < AT_ONCE_S


def test_a_kas_that_is_told_to_stop_sends_its_agent_to_the_other(
    replicas: Replicas, holder: KasProgram, other: KasProgram
):
    holder.terminate()
    began = time.monotonic()
    wait_for(lambda: replicas.holder() is other, told=replicas.logs)
    _log.info("at the other kas %.2f s after SIGTERM", time.monotonic() - began)
    replicas.until_answered(other)
    assert holder.wait(20) == 0


def test_without_redis_the_agents_own_kas_goes_on_and_the_other_says_what_is_wrong(
    replicas: Replicas, holder: KasProgram, other: KasProgram
):
    replicas.redis.stop()
    try:
        assert holder.world.kubectl("get", "namespaces", check=False).returncode == 0, replicas.logs()
        assert other.world.kubectl("get", "namespaces", check=False).returncode == 0, (
            "it knew where the agent is"
        )
        other.kill()
        other.start()
        wait_for(lambda: replicas.is_up(other), 20, told=replicas.logs)
        began = time.monotonic()
        away = ask(other.world, "/version")
        assert time.monotonic() - began < 10
        assert (away.status_code, EXPECTED in away.text) == (503, True), f"{away.text}\n{replicas.logs()}"
        assert holder.world.kubectl("get", "namespaces", check=False).returncode == 0, replicas.logs()
    finally:
        replicas.redis.start()
    recovery_s = replicas.until_answered(other)
    _log.info("answered %.2f s after Redis came back", recovery_s)
    # This Redis keeps nothing on disk, so it forgot the pods until their next heartbeat: too long for the next test.
    replicas.agentk.kill()
    replicas.agentk.start()
    assert recovery_s < 10
