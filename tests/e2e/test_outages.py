"""Short outages that nobody notices: kubectl in a loop while agentk and kas are restarted, judged by its own exit codes."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import itertools
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import uuid4

import httpx2
import pytest

import sandbox
from tests.doubles.redis_server import RedisServer
from tests.e2e.kas_program import KasProgram
from tests.e2e.kubectl import config_map
from tests.e2e.watching import ApiServer, Writer, ask, version_of, watching
from tests.e2e.world import World, free_port, wait_for, world

pytestmark = pytest.mark.cluster
_log = logging.getLogger(__name__)

READY = "kasbah_kas_tunnels_ready"


@dataclass
class Pair:
    """A kas that people ask, and behind it one that holds the agent."""

    world: World
    front: KasProgram
    back: KasProgram
    restarts: list[float] = field(default_factory=list)
    """How long each took until the agent was there again."""

    def ready(self) -> bool:
        try:
            return World.metric(self.back.metrics, READY) >= 1
        except httpx2.TransportError:
            return False

    def restart_agentk(self) -> None:
        """As a rollout does it."""
        began = time.monotonic()
        self.world.agentk.stop()
        self.world.agentk.start()
        self._wait(began)

    def restart_kas(self) -> None:
        """The one behind."""
        began = time.monotonic()
        self.back.stop()
        self.back.start()
        self._wait(began)

    def _wait(self, began: float) -> None:
        wait_for(self.ready, 30, told=self.logs)
        self.restarts.append(time.monotonic() - began)

    def logs(self) -> str:
        programs = [self.front, self.back, self.world.agentk]
        return "\n".join(f"{program.name}:\n{program.tail(15)}" for program in programs)


@pytest.fixture(scope="module")
def pair(
    control_plane: sandbox.Cluster, tmp_path_factory: pytest.TempPathFactory, redis: RedisServer
) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("outages")
    with world(directory, control_plane) as hub:
        hub.agentk.kill()
        secret = directory / "private-api-secret"
        secret.write_bytes(base64.b64encode(os.urandom(32)))
        front, back = (kas_of(hub, name, redis, str(secret)) for name in ("front", "back"))
        made = Pair(hub, front, back)
        hub.agentk = hub.new_agentk(
            "agentk-behind", hub.ports["probe"], address=f"ws://127.0.0.1:{back.agents}"
        )
        try:
            for program in (front, back, hub.agentk):
                program.start()
            wait_for(made.ready, 30, told=made.logs)
            front.world.wait_for_agent()
            yield made
        finally:
            hub.agentk.kill()
            front.kill()
            back.kill()


def kas_of(hub: World, name: str, redis: RedisServer, secret: str) -> KasProgram:
    listen = {"address": f"127.0.0.1:{free_port()}", "authentication_secret_file": secret}
    return KasProgram(
        hub,
        name,
        hub.directory,
        redis={"server": {"address": f"127.0.0.1:{redis.port}"}},
        private_api={"listen": listen | {"listen_grace_period": "0.1s"}},
    )


def one_round(asked: World, name: str) -> list[subprocess.CompletedProcess[str]]:
    """A person's day: make, read, list, change, delete."""
    kubectl = asked.kubectl
    target = ("configmap", name)
    return [
        kubectl("create", "-f", "-", stdin=config_map(name, a="1"), check=False),
        kubectl("get", *target, "-o", "name", check=False),
        kubectl("get", "--raw", "/api/v1/namespaces/default/configmaps?limit=5", check=False),
        kubectl("patch", *target, "--type=merge", "-p", '{"data":{"a":"2"}}', check=False),
        kubectl("apply", "-f", "-", stdin=config_map(name, a="3"), check=False),
        kubectl("delete", *target, "--wait=false", check=False),
    ]


def loop_while(
    pair: Pair, requests: int, people: int, restarts: list[Callable[[], None]]
) -> list[subprocess.CompletedProcess[str]]:
    """So many kubectl by so many people at once, while these restarts happen one after the other; what failed."""
    rounds = itertools.count()
    failed: list[subprocess.CompletedProcess[str]] = []
    restarting = True

    def person() -> None:
        while next(rounds) * 6 < requests or restarting:
            done = one_round(pair.front.world, f"loop-{uuid4().hex[:10]}")
            failed.extend(one for one in done if one.returncode != 0)

    with concurrent.futures.ThreadPoolExecutor(people) as threads:
        running = [threads.submit(person) for _ in range(people)]
        try:
            for restart in restarts:
                restart()
                time.sleep(0.5)  # noqa: TID251 - a moment of peace
        finally:
            restarting = False
        for one in running:
            one.result()
    _log.info(
        "%d kubectl, %d restarts of %.2f s at most, %d failed",
        next(rounds) * 6,
        len(restarts),
        max(pair.restarts, default=0),
        len(failed),
    )
    return failed


@pytest.mark.timeout(180)
def test_nobody_notices_restarts_of_agentk_and_of_the_kas_behind(pair: Pair):
    failed = loop_while(pair, 60, 3, [pair.restart_agentk, pair.restart_kas] * 2)
    assert [one.stderr for one in failed] == [], pair.logs()


@pytest.mark.timeout(120)
def test_reads_outlive_even_kill_9(pair: Pair):
    def kill_agentk() -> None:
        pair.world.agentk.kill()
        pair.world.agentk.start()

    def kill_kas() -> None:
        pair.back.kill()
        pair.back.start()

    asked = pair.front.world
    for kill in (kill_agentk, kill_kas):
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            killing = threads.submit(kill)
            while not (killing.done() and pair.ready()):
                done = asked.kubectl("get", "namespaces", "-o", "name", check=False)
                assert (done.returncode, done.stderr) == (0, ""), pair.logs()
            killing.result()


@pytest.mark.timeout(120)
def test_a_watch_outlives_restarts_of_the_kas_behind(pair: Pair):
    asked = pair.front.world
    with contextlib.closing(ApiServer(asked.cluster)) as api:
        writer = Writer(api, f"watched-{uuid4().hex[:8]}")
        version = version_of(api.call("GET", f"{writer.path}?limit=1"))
        path = f"{writer.path}?watch=1&labelSelector=watched%3Dyes&resourceVersion={version}"
        with watching(asked, path) as watcher:
            for restart in (pair.restart_kas, pair.restart_agentk):
                writer.write(30)
                restart()
            writer.write(30)
            wait_for(lambda: len(watcher.changes) >= 90, 30, told=pair.logs)
            assert (watcher.changes, watcher.end) == (writer.changes, "")


@pytest.mark.timeout(90)
def test_a_long_absence_is_told_as_gitlab_tells_it(pair: Pair):
    agentk, asked = pair.world.agentk, pair.front.world
    agentk.kill()
    try:
        statuses = [ask(asked, "/version").status_code]
        began = time.monotonic()
        while time.monotonic() - began < 50 and (answer := ask(asked, "/version")).status_code == 503:
            statuses.append(answer.status_code)
        assert (statuses[0], answer.status_code) == (503, 502), pair.logs()
        said = answer.json()["message"]
        assert "Agent connection not found. Is agent up to date and connected?" in said
        assert time.monotonic() - began > 20
    finally:
        agentk.start()
        asked.wait_for_agent()


@pytest.mark.timeout(90)
def test_a_frozen_agent_is_an_error_within_twenty_seconds(pair: Pair):
    agentk = pair.world.agentk
    assert agentk.process is not None
    agentk.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = ask(pair.back.world, "/version", timeout_s=40)
        took_s = time.monotonic() - began
        _log.info("frozen agent: %d after %.2f s", answer.status_code, took_s)
        assert answer.status_code in {502, 503}
        assert took_s <= 20
    finally:
        agentk.process.send_signal(signal.SIGCONT)
    pair.front.world.wait_for_agent()
