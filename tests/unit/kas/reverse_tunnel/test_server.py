"""Who is let in, who is not and why, and what becomes of pods when a token is revoked or kas stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import structlog
from prometheus_client import REGISTRY

from kasbah.errors import Bug, PeerError
from kasbah.kas.http_server.exchange import Upgrade
from kasbah.kas.hub_client.errors import (
    HubForbiddenError,
    HubNotFoundError,
    HubUnauthenticatedError,
    HubUnavailableError,
)
from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.kubernetes_api import grant as grants
from kasbah.kas.reverse_tunnel.grpc_connection import GrpcAgentConnection
from kasbah.kas.reverse_tunnel.native_connection import AgentConnection
from kasbah.kas.reverse_tunnel.registry import TunnelRegistry
from kasbah.kas.reverse_tunnel.server import ReverseTunnelServer
from kasbah.kas.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.kit.secrets import Secret
from kasbah.wire.http1 import Headers, RequestHead, request_head
from kasbah.wire.methods import CONNECT
from kasbah.wire.native_tunnel.engine import Role
from kasbah.wire.native_tunnel.frames import AgentHello, GoAwayCode
from kasbah.wire.reverse_tunnel.descriptor import KUBERNETES_API_DESCRIPTOR
from kasbah.wire.rpc import StatusCode
from kasbah.wire.stream import StreamClass
from tests.doubles.fake_transport import FakeTransport
from tests.doubles.far_end import FarEnd
from tests.doubles.far_grpc_end import FarGrpcEnd
from tests.doubles.grpc_pair import RecordingCallHandler
from tests.doubles.people import access_of_mia
from tests.doubles.tunnel_pair import RecordingHandler

AGENT = AgentInfo(agent_id=7, project_id=1, agent_name="a", project_path="g/p", default_branch="main")
GRANT = grants.issue("g", access_of_mia(), deadline_ms=1)
WATCH = GRANT.envelope_for(upgrade=b"", open_ended=True) + b"GET /api/v1/pods?watch=1 HTTP/1.1\r\n\r\n"
TOKEN = "glagent-t"
KEY = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
VERSION = (b"sec-websocket-version", b"13")
OFFER = (b"sec-websocket-protocol", b"ws-tunnel, kasbah.v1")


class Hub:
    """Knows every token as agent 7's, unless it has an error to say."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.silent_about = Secret("")

    async def agent_info(self, token: Secret, *, fresh: bool = False) -> AgentInfo:
        if token == self.silent_about:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return AGENT


class Pod:
    """An agent pod, before and after it was let in."""

    def __init__(self, pod_id: int, token: str = TOKEN) -> None:
        self.far, self.transport = FarEnd(Role.AGENT), FakeTransport()
        self.far.tunnel.greet(AgentHello(token=token, pod_id=pod_id))
        self.answer = b""
        self.known = asyncio.Event()

    async def talk(self) -> None:
        if not self.answer:
            self.answer, _, self.transport.written = self.transport.written.partition(b"\r\n\r\n")
        protocol = self.transport.protocol
        if isinstance(protocol, AgentConnection):
            await self.far.talk(protocol, self.transport)
        await asyncio.sleep(0)


class Kas:
    def __init__(self, **settings: float) -> None:
        self.hub, self.registry = Hub(), TunnelRegistry()
        self.server = ReverseTunnelServer(
            self.hub,  # type: ignore[arg-type]  # the one method that is used
            self.registry,
            [],
            version="1",
            settings=ReverseTunnelSettings(**settings),  # type: ignore[arg-type]
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Kas]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.server.run())
            await asyncio.sleep(0)
            try:
                yield self
            finally:
                running.cancel()

    def knock(self, *headers: tuple[bytes, bytes], received: bytes = b"") -> FakeTransport:
        transport = FakeTransport()
        head = upgrade_head(headers)
        self.server.accept(head, upgrade_of(transport, received))
        return transport

    async def connect(self, pod_id: int = 1, token: str = TOKEN) -> Pod:
        pod = Pod(pod_id, token)
        head = upgrade_head((KEY, VERSION, OFFER))
        self.server.accept(head, upgrade_of(pod.transport, b"", pod.known.set))
        for _ in range(3):
            await pod.talk()
        return pod


def upgrade_of(
    transport: FakeTransport, received: bytes = b"", known: Callable[[], None] = lambda: None
) -> Upgrade:
    return Upgrade(transport, received, since=time.monotonic(), known=known)


def upgrade_head(headers: Headers) -> RequestHead:
    lines = [
        b"GET /-/kubernetes-agent/ HTTP/1.1",
        b"Host: kas",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
    ]
    lines += [name + b": " + value for name, value in headers]
    return request_head(b"\r\n".join([*lines, b"", b""]))


# -- the handshake


def test_a_malformed_handshake_is_refused():
    transport = Kas().knock(KEY, OFFER)
    assert transport.written.startswith(b"HTTP/1.1 400 ")
    assert b"Version must be 13" in transport.written
    assert transport.closed


def test_whoever_speaks_another_tunnel_is_told_what_to_offer():
    transport = Kas().knock(KEY, VERSION, (OFFER[0], b"chat"))
    assert transport.written.startswith(b"HTTP/1.1 101 ")
    assert b"offer kasbah.v1 or ws-tunnel" in transport.written
    assert transport.closed


@pytest.mark.asyncio
async def test_a_pod_that_connects_while_kas_drains_is_sent_elsewhere():
    kas = Kas()
    await kas.server.drain()
    assert kas.knock(KEY, VERSION, OFFER).written.startswith(b"HTTP/1.1 503 ")


@pytest.mark.asyncio
async def test_what_came_behind_the_handshake_is_not_lost():
    async with Kas().running() as kas:
        transport = kas.knock(KEY, VERSION, OFFER, received=b"\x81\x00")
    assert b"HTTP/1.1 101 " in transport.written
    assert transport.closed  # an unmasked text message: read, and a breach


@pytest.mark.asyncio
async def test_nobody_can_be_let_in_before_kas_runs():
    with pytest.raises(Bug, match="before the tunnel server ran"):
        await Kas().connect()


@pytest.mark.asyncio
async def test_who_comes_while_kas_is_being_stopped_is_sent_away():
    async with Kas().running() as kas:
        pod = await kas.connect(1)
        kas.server.tasks._abort()
        late = await kas.connect(2)
        assert late.far.heard == [("go away", (GoAwayCode.UNAVAILABLE, "unavailable"))]
        assert pod.far.heard == [("accepted", 7)]


# -- the token


@pytest.mark.asyncio
async def test_a_good_token_makes_the_agent_reachable():
    async with Kas().running() as kas:
        pod = await kas.connect()
        stream = kas.registry.open_nowait(AGENT, b"GET", StreamClass.SMALL, RecordingHandler())
        await pod.talk()
        assert pod.far.heard == [("accepted", 7)]
        assert stream is not None
        assert [opening for opening, _, _ in pod.far.opened] == [b"GET"]


REFUSALS = [
    (HubUnauthenticatedError("401"), GoAwayCode.UNAUTHENTICATED, "unauthenticated"),
    (HubForbiddenError("403"), GoAwayCode.FORBIDDEN, "forbidden"),
    (HubNotFoundError("404"), GoAwayCode.UNAUTHENTICATED, "agent not found"),
    (HubUnavailableError("away"), GoAwayCode.UNAVAILABLE, "unavailable"),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(("error", "code", "reason"), REFUSALS)
async def test_a_token_that_is_not_good_is_refused_with_its_reason(error, code, reason):
    async with Kas().running() as kas:
        kas.hub.error = error
        pod = await kas.connect()
        assert pod.far.heard == [("go away", (code, reason))]
        assert kas.registry.count(7) == 0


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "error", [HubUnauthenticatedError("401"), HubForbiddenError("403"), HubNotFoundError("404")]
)
async def test_a_revoked_token_cuts_the_pod_and_what_runs(error: PeerError):
    async with Kas(token_check_interval_s=0).running() as kas:
        pod, running = await kas.connect(), RecordingHandler()
        kas.registry.open_nowait(AGENT, b"watch", StreamClass.WATCH, running)
        kas.hub.error = error
        for _ in range(3):
            await pod.talk()
        assert kas.registry.count(7) == 0
        assert running.words() == ["reset"]
        assert pod.transport.closed


@pytest.mark.asyncio
async def test_a_bug_while_a_token_is_checked_costs_nobody_else_anything():
    with structlog.testing.capture_logs():  # many, and each with its traceback
        async with Kas(token_check_interval_s=0).running() as kas:
            pod = await kas.connect(1)
            kas.hub.error = RuntimeError("a bug")
            unlucky = await kas.connect(2)
            assert unlucky.far.heard == [("go away", (GoAwayCode.UNAVAILABLE, "unavailable"))]
            await pod.talk()
            assert kas.registry.count(7) == 1


@pytest.mark.asyncio
async def test_a_slow_answer_about_one_token_delays_no_other():
    async with Kas(token_check_interval_s=0).running() as kas:
        pods = [await kas.connect(number, f"glagent-{number}") for number in range(4)]
        kas.hub.silent_about, kas.hub.error = Secret("glagent-2"), HubUnauthenticatedError("401")
        for _ in range(5):
            await pods[0].talk()
        assert [pod.transport.closed for pod in pods] == [True, True, False, True]


@pytest.mark.asyncio
async def test_a_revoked_token_cuts_also_what_drains():
    async with Kas(token_check_interval_s=0).running() as kas:
        pod = await kas.connect()
        kas.registry.open_nowait(AGENT, b"watch", StreamClass.WATCH, RecordingHandler())
        protocol = pod.transport.protocol
        assert isinstance(protocol, AgentConnection)
        protocol.tunnel.go_away(GoAwayCode.DRAINING)
        kas.hub.error = HubUnauthenticatedError("401")
        for _ in range(5):
            await pod.talk()
        assert pod.transport.closed


@pytest.mark.asyncio
async def test_a_pod_is_a_stranger_until_its_token_was_found_good_or_it_is_gone():
    async with Kas().running() as kas:
        silent, head = Pod(1), upgrade_head((KEY, VERSION, OFFER))
        kas.server.accept(head, upgrade_of(silent.transport, b"", silent.known.set))
        assert not silent.known.is_set()
        assert (await kas.connect(2)).known.is_set()
        kas.hub.error = HubUnavailableError("away")
        assert (await kas.connect(3)).known.is_set()


@pytest.mark.asyncio
async def test_a_hub_that_is_away_cuts_nobody():
    async with Kas(token_check_interval_s=0).running() as kas:
        pod = await kas.connect()
        kas.hub.error = HubUnavailableError("away")
        for _ in range(3):
            await pod.talk()
        assert kas.registry.count(7) == 1


# -- several pods


@pytest.mark.asyncio
async def test_a_pod_that_dials_again_replaces_its_old_connection():
    async with Kas().running() as kas:
        old, new = await kas.connect(pod_id=5), await kas.connect(pod_id=5)
        await old.talk()
        assert kas.registry.count(7) == 1
        assert old.transport.closed
        assert not new.transport.closed


@pytest.mark.asyncio
async def test_pods_over_the_limit_are_refused():
    async with Kas(max_pods_per_agent=2).running() as kas:
        pods = [await kas.connect(pod_id) for pod_id in (1, 2, 3)]
        assert kas.registry.count(7) == 2
        assert pods[2].far.heard[0][1] == (
            GoAwayCode.TOO_MANY_CONNECTIONS,
            "too many pods of this agent are connected",
        )


@pytest.mark.asyncio
async def test_a_pod_that_drains_gets_nothing_new_and_then_is_gone():
    async with Kas().running() as kas:
        pod = await kas.connect()
        pod.far.tunnel.go_away(GoAwayCode.DRAINING)
        await pod.talk()
        assert kas.registry.count(7) == 0
        assert not kas.server._connections


@pytest.mark.asyncio
async def test_a_pod_that_leaves_while_its_token_is_checked_is_not_registered():
    async with Kas().running() as kas:
        pod = Pod(1)
        head = upgrade_head((KEY, VERSION, OFFER))
        kas.server.accept(head, upgrade_of(pod.transport))
        connection = pod.transport.protocol
        assert isinstance(connection, AgentConnection)
        connection.hello_received(AgentHello(token="glagent-t", pod_id=1))
        connection.connection_lost(None)
        await asyncio.sleep(0)
        assert kas.registry.count(7) == 0


# -- agents that speak gRPC


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("offer", "chosen"), [(b"ws-tunnel", GrpcAgentConnection), (b"ws-tunnel, kasbah.v1", AgentConnection)]
)
async def test_the_native_tunnel_is_chosen_before_grpc(offer, chosen):
    async with Kas().running() as kas:
        transport = kas.knock(KEY, VERSION, (OFFER[0], offer))
        assert isinstance(transport.protocol, chosen)


class GrpcPod:
    """An agent that speaks gRPC on a connection of its own."""

    def __init__(self, kas: Kas, *, websocket: bool = False) -> None:
        self.far, self.transport = FarGrpcEnd(websocket=websocket), FakeTransport()
        if websocket:
            head = upgrade_head((KEY, VERSION, (OFFER[0], b"ws-tunnel")))
            kas.server.accept(head, upgrade_of(self.transport))
            self.transport.written = self.transport.written.partition(b"\r\n\r\n")[2]
        else:
            kas.server.accept_http2(upgrade_of(self.transport))

    async def connect(self) -> RecordingCallHandler:
        _, tunnel = self.far.call(CONNECT.path, KUBERNETES_API_DESCRIPTOR, end=False)
        await self.talk()
        return tunnel

    async def talk(self) -> None:
        for _ in range(3):
            protocol = self.transport.protocol
            assert isinstance(protocol, GrpcAgentConnection)
            await self.far.talk(protocol, self.transport)


@pytest.mark.asyncio
@pytest.mark.parametrize(("websocket", "name"), [(False, "grpc"), (True, "ws-tunnel")])
async def test_a_tunnel_makes_the_agent_reachable_and_the_log_says_how(websocket, name):
    async with Kas().running() as kas:
        pod = GrpcPod(kas, websocket=websocket)
        waiter = Waiting()
        kas.registry.wait(7, waiter)
        with structlog.testing.capture_logs() as logs:
            await pod.connect()
        assert (kas.registry.count(7), waiter.asked) == (1, 1)
        (said,) = [log for log in logs if log["event"] == "agent connected"]
        assert (said["transport"], said["agent_id"]) == (name, 7)


class Waiting:
    def __init__(self) -> None:
        self.asked = 0

    def tunnel_ready(self) -> None:
        self.asked += 1


@pytest.mark.asyncio
async def test_pods_count_whatever_they_speak():
    async with Kas(max_pods_per_agent=2).running() as kas:
        await kas.connect(1)
        first, second = GrpcPod(kas), GrpcPod(kas)
        assert (await first.connect()).code is StatusCode.OK
        assert (await second.connect()).code is StatusCode.RESOURCE_EXHAUSTED
        assert kas.registry.count(7) == 2


@pytest.mark.asyncio
async def test_who_says_it_leaves_and_stays_cannot_bring_ever_more():
    async with Kas(max_pods_per_agent=1).running() as kas:
        leaving, stays = GrpcPod(kas), GrpcPod(kas)
        for pod in (leaving, stays):
            assert (await pod.connect()).code is StatusCode.OK
            kas.registry.open_nowait(GRANT, WATCH, StreamClass.WATCH, RecordingHandler())
            pod.far.engine.go_away()
            await pod.talk()
        assert kas.registry.count(7) == 0
        assert (await GrpcPod(kas).connect()).code is StatusCode.RESOURCE_EXHAUSTED
        assert isinstance(leaving.transport.protocol, GrpcAgentConnection)
        leaving.transport.protocol.connection_lost(None)
        assert (await GrpcPod(kas).connect()).code is StatusCode.OK


@pytest.mark.asyncio
async def test_a_revoked_token_cuts_a_grpc_pod_with_its_status():
    async with Kas(token_check_interval_s=0).running() as kas:
        pod = GrpcPod(kas)
        tunnel = await pod.connect()
        kas.hub.error = HubForbiddenError("403")
        await pod.talk()
        assert (tunnel.code, tunnel.reason) == (StatusCode.PERMISSION_DENIED, "forbidden")
        assert pod.transport.closed
        assert kas.registry.count(7) == 0


@pytest.mark.asyncio
async def test_a_grpc_pod_that_comes_while_kas_drains_is_sent_away():
    kas, transport, known = Kas(), FakeTransport(), asyncio.Event()
    await kas.server.drain()
    kas.server.accept_http2(upgrade_of(transport, b"", known.set))
    assert transport.closed
    assert known.is_set()


# -- age


def pass_time(kas: Kas, seconds: float) -> None:
    """Let every connection be as old as that."""
    for connection, watched in list(kas.server._connections.items()):
        kas.server._tick(connection, watched, connection.since + seconds)


@pytest.mark.asyncio
async def test_an_old_connection_takes_nothing_new_and_is_cut_in_the_end():
    async with Kas(max_connection_age_s=100, connection_age_grace_s=50).running() as kas:
        native, grpc = await kas.connect(), GrpcPod(kas)
        idle = await grpc.connect()
        running = RecordingHandler()
        kas.registry.open_nowait(AGENT, b"watch", StreamClass.WATCH, running)
        pass_time(kas, 89)
        assert kas.registry.count(7) == 2
        pass_time(kas, 101)
        await native.talk()
        await grpc.talk()
        assert kas.registry.count(7) == 0
        assert ("go away", (GoAwayCode.DRAINING, "max_age")) in native.far.heard
        assert (idle.words(), grpc.far.away) == (["ended"], True)
        assert (native.transport.closed, running.words()) == (False, [])
        pass_time(kas, 151)
        await native.talk()
        assert (native.transport.closed, running.words()) == (True, ["reset"])


@pytest.mark.asyncio
async def test_connections_of_one_moment_do_not_grow_old_together():
    async with Kas().running() as kas:
        for pod_id in range(1, 11):
            await kas.connect(pod_id)
        ages = {
            round(watched.retire_at - connection.since, 3)
            for connection, watched in kas.server._connections.items()
        }
        assert len(ages) > 1
        assert all(6480 <= age <= 7200 for age in ages)


@pytest.mark.asyncio
async def test_who_says_nothing_is_cut_and_counted_once():
    async with Kas(greeting_timeout_s=10).running() as kas:
        pod, silent = GrpcPod(kas), kas.knock(KEY, VERSION, OFFER)
        counter = REGISTRY.get_sample_value
        name, labels = "kasbah_kas_agents_refused_total", {"reason": "silent"}
        before = counter(name, labels) or 0
        for seconds in (9, 11, 12, 30):
            pass_time(kas, seconds)
        assert (counter(name, labels) or 0) - before == 2
        assert pod.transport.closed
        assert silent.closed
        assert pod.transport.aborted


# -- stopping


@pytest.mark.asyncio
async def test_a_drain_waits_for_what_runs_and_tells_every_pod():
    async with Kas().running() as kas, asyncio.TaskGroup() as tasks:
        pod = await kas.connect()
        stream = kas.registry.open_nowait(AGENT, b"GET", StreamClass.SMALL, RecordingHandler())
        assert stream is not None
        await pod.talk()
        drain = tasks.create_task(kas.server.drain())
        await pod.talk()
        assert (drain.done(), kas.registry.count(7)) == (False, 0)
        assert ("go away", (GoAwayCode.DRAINING, "Shutting down")) in pod.far.heard
        stream.end()
        pod.far.opened[0][1].end()
        await pod.talk()
    assert drain.done()


@pytest.mark.asyncio
async def test_a_drain_ends_with_its_time_whatever_runs():
    async with Kas(drain_timeout_s=0).running() as kas:
        pod = await kas.connect()
        kas.registry.open_nowait(AGENT, b"GET", StreamClass.SMALL, RecordingHandler())
        await kas.server.drain()
        assert not pod.transport.closed


@pytest.mark.asyncio
async def test_what_is_left_at_the_end_is_closed_with_a_reason():
    async with Kas().running() as kas:
        pod = await kas.connect()
        running = RecordingHandler()
        kas.registry.open_nowait(AGENT, b"GET", StreamClass.SMALL, running)
    assert running.said[0][1][1] == "Shutting down"  # type: ignore[index]
    assert b"Shutting down" in pod.transport.written
