"""Thousands of watches, refusals and lost agents leave nothing: no stream, no request, no descriptor, no memory."""

from __future__ import annotations

import contextlib
import logging
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from kasbah.wire.grpc.engine import GrpcEngine, GrpcOwner, GrpcRole
from kasbah.wire.methods import CONNECT
from kasbah.wire.reverse_tunnel.descriptor import KUBERNETES_API_DESCRIPTOR
from kasbah.wire.rpc import NOBODY, Call, CallHandler, Metadata, StatusCode
from tests.e2e.roads import Road
from tests.e2e.world import World, free_port, wait_for

pytestmark = pytest.mark.cluster
_log = logging.getLogger(__name__)

PROXY = "/-/kubernetes-agent/k8s-proxy"
WATCH = "/api/v1/namespaces?watch=1"
EXEC = "/api/v1/namespaces/default/pods/none/exec?command=x"
SPDY = ("Upgrade: SPDY/3.1", "Connection: Upgrade", "X-Stream-Protocol-Version: v4.channel.k8s.io")
ANSWER_S = 5.0
# Memory that was used once is not given back at once: allocators keep it, caches fill, the loop's pools grow.
GROWTH_MIB = 24
DESCRIPTORS = 8
KEPT = "kasbah_agentk_api_server_idle_connections"
OPEN_REQUESTS = "kasbah_agentk_kubernetes_api_open_requests"
UNDERWAY = "kasbah_kas_kubernetes_api_underway"
GAUGES = {
    "up": (UNDERWAY, "kasbah_kas_kubernetes_api_leased_streams"),
    "agentk": ("kasbah_agentk_kubernetes_api_open_requests",),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What two processes hold."""

    open: float
    tunnels: float
    descriptors: dict[str, int]
    """Without agentk's connections that wait for the next request."""
    resident_mib: dict[str, float]


class Scales:
    """Weighs a world before and after."""

    def __init__(self, world: World) -> None:
        self.world = world

    def read(self) -> Reading:
        world = self.world
        urls = {"up": world.up_metrics, "agentk": world.agentk_metrics}
        pids = {"up": world.up.pid, "agentk": world.agentk.pid}
        descriptors = {name: len(list(Path(f"/proc/{pid}/fd").iterdir())) for name, pid in pids.items()}
        descriptors["agentk"] -= int(world.metric(world.agentk_metrics, KEPT))
        return Reading(
            open=sum(world.metric(urls[program], name) for program in GAUGES for name in GAUGES[program]),
            tunnels=world.metric(world.up_metrics, "kasbah_kas_tunnels_ready"),
            descriptors=descriptors,
            resident_mib={name: resident_mib(pid) for name, pid in pids.items()},
        )

    def grpc_tunnels(self) -> float:
        """Idle ones and used ones, of all pods."""
        return self.world.metric(self.world.up_metrics, "kasbah_kas_grpc_tunnels")

    def assert_back_to(self, before: Reading, timeout_s: float = 10) -> None:
        """Nothing is open any more, and what is held is about what it was."""
        deadline = time.monotonic() + timeout_s
        while not self._is_back(now := self.read(), before):
            assert time.monotonic() < deadline, f"before {before}\nnow    {now}"
            time.sleep(0.2)  # noqa: TID251 - real processes, nothing to wait on
        _log.info("before %s\nnow    %s", before, now)

    @staticmethod
    def _is_back(now: Reading, before: Reading) -> bool:
        return (
            (now.open, now.tunnels) == (0, 1)
            and all(now.descriptors[n] - before.descriptors[n] <= DESCRIPTORS for n in before.descriptors)
            and all(now.resident_mib[n] - before.resident_mib[n] < GROWTH_MIB for n in before.resident_mib)
        )


def resident_mib(pid: int) -> float:
    """VmRSS."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024


class Crowd:
    """Many raw clients at once, each with one request."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clients: list[socket.socket] = []
        self.answers: dict[socket.socket, bytes] = {}
        self.gone: set[socket.socket] = set()

    def ask(self, path: str, *lines: str, bearer: str | None = None, method: str = "GET") -> None:
        head = [
            f"{method} {PROXY}{path} HTTP/1.1",
            "Host: k",
            f"Authorization: Bearer {bearer or self.world.bearer}",
        ]
        client = socket.create_connection(("127.0.0.1", self.world.ports["http"]), timeout=10)
        self.clients.append(client)
        self.answers[client] = b""
        client.sendall("\r\n".join([*head, *lines]).encode() + b"\r\n\r\n")

    def read_until(self, done: Callable[[socket.socket], bool], timeout_s: float) -> float:
        """Read from all until this holds for each; how long that took."""
        began = time.monotonic()
        with selectors.DefaultSelector() as selector:
            waiting = {client for client in self.clients if not done(client)}
            for client in waiting:
                selector.register(client, selectors.EVENT_READ)
            while waiting:
                left = timeout_s - (time.monotonic() - began)
                assert left > 0, f"{len(waiting)} of {len(self.clients)} clients wait in vain"
                for key, _ in selector.select(left):
                    client = key.fileobj
                    assert isinstance(client, socket.socket)
                    self._read(client)
                    if done(client) or client in self.gone:
                        selector.unregister(client)
                        waiting.discard(client)
        return time.monotonic() - began

    def _read(self, client: socket.socket) -> None:
        data = b""
        with contextlib.suppress(ConnectionError):
            data = client.recv(1 << 16)
        self.answers[client] += data
        if not data:
            self.gone.add(client)

    def has_status(self, client: socket.socket) -> bool:
        return b"\r\n\r\n" in self.answers[client]

    def statuses(self) -> set[int]:
        return {int(answer[9:12]) for answer in self.answers.values()}

    def leave(self) -> None:
        for client in self.clients:
            client.close()


class HostilePod(GrpcOwner):
    """A gRPC connection with the agent's token that opens tunnels and serves none."""

    def __init__(self, world: World) -> None:
        token = (world.directory / "agent-token").read_text().strip()
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._socket = socket.create_connection(("127.0.0.1", world.ports["grpc"]), timeout=10)
        self._engine = GrpcEngine(GrpcRole.CLIENT, self, authority="kas")
        self._calls: list[Call] = []

    def open(self, count: int) -> None:
        """So many tunnels, each ready to be used."""
        while len(self._calls) < count:
            if not self._engine.can_open:  # until kas has said how many
                self._say()
                self._engine.receive(self._socket.recv(1 << 16))
                continue
            call = self._engine.open_call(CONNECT.path, NOBODY, self._metadata)
            call.send(KUBERNETES_API_DESCRIPTOR)
            self._calls.append(call)
        self._say()

    def reset_all(self) -> None:
        """RST_STREAM on each."""
        for call in self._calls:
            call.fail(StatusCode.CANCELLED, "")
        self._say()

    def close(self) -> None:
        """Without a word."""
        self._socket.close()

    def _say(self) -> None:
        while data := self._engine.take(1 << 20):
            self._socket.sendall(data)

    def flush_wanted(self) -> None:
        pass

    def call_opened(self, path: str, metadata: Metadata, call: Call) -> CallHandler:
        raise NotImplementedError

    def going_away(self) -> None:
        pass

    def finished(self) -> None:
        pass


@contextlib.contextmanager
def crowd(world: World, paths: Sequence[str], *lines: str, bearer: str | None = None) -> Iterator[Crowd]:
    """Everybody has asked."""
    made = Crowd(world)
    try:
        for path in paths:
            made.ask(path, *lines, bearer=bearer)
        yield made
    finally:
        made.leave()


@pytest.fixture(scope="module", params=["ws", "grpc"])
def road(fresh_world: World, request: pytest.FixtureRequest) -> Road:
    """The agent takes this way."""
    fresh_world.agentk.kill()
    made = Road(fresh_world, request.param)
    made.agentk.start()
    fresh_world.wait_for_agent()
    return made


@pytest.fixture(scope="module")
def warm(fresh_world: World, road: Road) -> World:
    """What every process loads and keeps at its first requests is there."""
    for lines in ((), SPDY):
        with crowd(fresh_world, [EXEC if lines else WATCH] * 100, *lines) as made:
            made.read_until(made.has_status, ANSWER_S)
    Scales(fresh_world).assert_back_to(Scales(fresh_world).read())
    return fresh_world


@pytest.fixture
def scales(warm: World) -> Iterator[Scales]:
    """Whatever the test did, afterwards both processes hold what they held before."""
    made = Scales(warm)
    before = made.read()
    yield made
    made.assert_back_to(before)


def test_two_thousand_watches_that_are_dropped_leave_nothing(scales: Scales):
    for _ in range(5):
        with crowd(scales.world, [WATCH] * 400) as made:
            made.read_until(made.has_status, 20)
            assert made.statuses() == {200}


def test_two_thousand_answered_requests_leave_nothing(scales: Scales):
    for _ in range(10):
        with crowd(scales.world, ["/version"] * 200, "Connection: close") as made:
            made.read_until(made.gone.__contains__, 20)
            assert made.statuses() == {200}


def test_two_thousand_refused_requests_leave_nothing(scales: Scales):
    world = scales.world
    refusals = {
        f"pat:{world.agent_id}:wrong": 401,
        f"pat:9999:{world.user_token}": 401,
        "nonsense": 401,
        world.bearer: 400,
    }
    for bearer, status in refusals.items():
        path = "/api/../v1" if status == 400 else "/version"
        with crowd(world, [path] * 500, "Connection: close", bearer=bearer) as made:
            made.read_until(made.gone.__contains__, 20)
            assert made.statuses() == {status}


def test_three_hundred_refused_upgrades_leave_nothing(scales: Scales):
    with crowd(scales.world, [EXEC] * 300, *SPDY) as made:
        made.read_until(made.has_status, 20)
        assert made.statuses() == {404}


def test_watches_that_are_asked_for_and_dropped_at_once_leave_nothing(scales: Scales):
    for _ in range(5):
        with crowd(scales.world, [WATCH] * 100):
            pass


@pytest.mark.parametrize("road", ["grpc"], indirect=True)
def test_twenty_four_thousand_tunnels_that_are_opened_and_dropped_leave_nothing(scales: Scales):
    """By somebody who has the agent's token."""
    world = scales.world
    for number in range(48):
        with contextlib.closing(HostilePod(world)) as hostile:
            hostile.open(500)
            wait_for(lambda: scales.grpc_tunnels() >= 500, told=world.up.tail)
            if number % 2:
                hostile.reset_all()
        wait_for(lambda: scales.grpc_tunnels() < 500, told=world.up.tail)


def test_when_agentk_is_killed_watches_go_on_and_nothing_is_left(warm: World):
    scales, before = Scales(warm), Scales(warm).read()
    version = warm.cluster.kubectl("get", "namespaces", "-o=jsonpath={.metadata.resourceVersion}").stdout
    with crowd(warm, [f"{WATCH}&resourceVersion={version}"] * 200) as made:
        made.read_until(made.has_status, 20)
        warm.agentk.kill()
        warm.agentk.start()
        warm.wait_for_agent()
        wait_for(lambda: warm.metric(warm.up_metrics, "kasbah_kas_watches_broken") == 0, 20)
        assert warm.metric(warm.up_metrics, "kasbah_kas_watches_kept") == 200
        wait_for(lambda: warm.metric(warm.agentk_metrics, OPEN_REQUESTS) == 200)
    scales.assert_back_to(before)


def test_requests_without_an_answer_when_agentk_is_killed_are_repeated_or_refused(warm: World, road: Road):
    scales, before = Scales(warm), Scales(warm).read()
    second = road.pod("agentk-second", free_port())
    if road.name == "grpc":  # each request needs an idle tunnel, so that all have left when agentk is killed
        with crowd(warm, [WATCH] * 200) as made:
            made.read_until(made.has_status, 20)
        wait_for(lambda: warm.metric(warm.up_metrics, UNDERWAY) == 0, told=road.logs)
        wait_for(lambda: scales.grpc_tunnels() >= 200, told=road.logs)
    assert warm.agentk.process is not None
    warm.agentk.process.send_signal(signal.SIGSTOP)
    try:
        with crowd(warm, ["/version"] * 100, "Connection: close") as made:
            for _ in range(100):
                made.ask("/api/v1/namespaces", "Connection: close", method="POST")
            wait_for(lambda: warm.metric(warm.up_metrics, UNDERWAY) == 200, told=road.logs)
            second.start()
            wait_for(lambda: warm.metric(warm.up_metrics, "kasbah_kas_tunnels_ready") == 2, told=second.tail)
            warm.agentk.kill()
            made.read_until(made.gone.__contains__, ANSWER_S)
            statuses = [int(made.answers[client][9:12]) for client in made.clients]
    finally:
        second.kill()
        warm.agentk.kill()
        warm.agentk.start()
        warm.wait_for_agent()
    assert (set(statuses[:100]), set(statuses[100:])) == ({200}, {502})
    scales.assert_back_to(before)
