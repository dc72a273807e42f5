from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from kasbah.agentk.kubernetes_api.module import KubernetesApi
from kasbah.agentk.module import LatestValue
from kasbah.kit.secrets import Secret
from kasbah.kube.access import ClusterAccess
from kasbah.wire.identity import AsAgent
from kasbah.wire.kubernetes_api import RequestEnvelope, encode_envelope, stamped
from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration
from kasbah.wire.stream import ResetCode, StreamHandler, StreamKind
from tests.doubles.recording_stream import RecordingStream
from tests.doubles.upstream import FakeConnections


@dataclass
class FakePool(FakeConnections):
    """Connections of a pool that dials nobody."""

    open_connections: int = 3
    idle_connections: int = 1

    async def run(self) -> None:
        await asyncio.Event().wait()


@dataclass
class Rotating:
    """An authorization that changes when it is looked at."""

    value: Secret = field(default_factory=lambda: Secret("Bearer first"))

    def refresh(self) -> bool:
        self.value = Secret("Bearer second")
        return True


class Fixture:
    def __init__(self, own_agent_id: int | None = 7) -> None:
        self.pool = FakePool()
        self.access = ClusterAccess(host="api", port=6443, authorization=Rotating())
        self.api = KubernetesApi(self.access, self.pool, lambda: own_agent_id)  # type: ignore[arg-type]
        self.stream = RecordingStream()

    def accept(
        self, head: bytes = b"GET / HTTP/1.1\r\n\r\n", kind: StreamKind = StreamKind.KUBERNETES_API
    ) -> StreamHandler:
        envelope = RequestEnvelope(agent_id=7, grant_id="g", identity=AsAgent(), deadline_ms=60_000)
        return self.api.accept(kind, encode_envelope(envelope) + head, self.stream)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.api.run(LatestValue()))
            await asyncio.sleep(0)
            yield
            task.cancel()


def test_a_stream_becomes_a_request_with_our_credentials():
    fixture = Fixture()
    fixture.accept()
    assert b"Authorization: Bearer first\r\n" in fixture.pool.transports[0].take()
    assert fixture.api.open_requests == 1


def test_an_answered_request_is_counted_and_forgotten():
    fixture = Fixture()
    fixture.accept()
    fixture.pool.connections[0].data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert fixture.api.outcomes == {"completed": 1}
    assert fixture.api.open_requests == 0


def test_equal_requests_keep_their_own_names_to_the_end():
    fixture = Fixture()
    for name in ("a", "b"):
        head = stamped(b"GET / HTTP/1.1\r\n\r\n", request_id=name * 32, trace_id=name * 32, trace_flags="00")
        fixture.accept(head)
    sent = [transport.take() for transport in fixture.pool.transports]
    assert [
        head.endswith(b"Audit-Id: %b\r\n\r\n" % (name * 32))
        for head, name in zip(sent, (b"a", b"b"), strict=True)
    ] == [True, True]


@pytest.mark.parametrize("own", [8, None])
def test_a_request_for_another_agent_is_refused(own: int | None):
    fixture = Fixture(own_agent_id=own)
    head = stamped(b"GET / HTTP/1.1\r\n\r\n", request_id="1" * 32, trace_id="2" * 32, trace_flags="00")
    with capture_logs() as logs:
        fixture.accept(head)
    assert (logs[0]["request_id"], logs[0]["trace_id"]) == ("1" * 32, "2" * 32)
    assert fixture.stream.reset_with == (ResetCode.FORBIDDEN, "the request was granted for another agent")
    assert fixture.pool.transports == []
    assert logs[0]["event"] == "request from kas refused"


def test_a_head_that_names_an_identity_is_refused_and_its_body_ignored():
    fixture = Fixture()
    handler = fixture.accept(b"GET / HTTP/1.1\r\nImpersonate-User: root\r\n\r\n")
    handler.head_received(b"x")
    handler.data_received(b"abc")
    handler.ended()
    handler.writable()
    handler.reset(1, "")
    assert fixture.stream.reset_with is not None
    assert fixture.stream.reset_with[0] == ResetCode.FORBIDDEN
    assert fixture.stream.taken == 3


def test_other_kinds_of_streams_are_refused():
    fixture = Fixture()
    fixture.accept(kind=StreamKind.RPC)
    assert fixture.stream.reset_with is not None
    assert fixture.stream.reset_with[0] == ResetCode.PROTOCOL


@pytest.mark.asyncio
async def test_a_stop_ends_every_request():
    fixture = Fixture()
    async with fixture.running():
        fixture.accept()
    assert fixture.stream.reset_with == (ResetCode.CANCELLED, "agentk is stopping")


@pytest.mark.asyncio
async def test_deadlines_pass_by_one_clock():
    fixture = Fixture()
    async with fixture.running():
        fixture.accept()
        fixture.api.look_at_clock(asyncio.get_running_loop().time() + 61)
    assert fixture.stream.reset_with is not None
    assert fixture.stream.reset_with[0] == ResetCode.DEADLINE


def test_a_rotated_token_is_used_from_the_next_request_on():
    fixture = Fixture()
    with capture_logs() as logs:
        fixture.api.look_at_token()
    fixture.accept()
    assert b"Authorization: Bearer second\r\n" in fixture.pool.transports[0].take()
    assert logs[0]["event"] == "token of the api server changed"


def test_any_configuration_is_fine():
    Fixture().api.validate(AgentConfiguration())


@pytest.mark.parametrize(("named", "refused"), [(0, False), (7, True)])
def test_a_wire_that_names_no_agent_needs_none_and_may_not_name_one(named: int, refused: bool):
    fixture = Fixture(own_agent_id=None)
    envelope = RequestEnvelope(agent_id=named, grant_id="", identity=AsAgent())
    opening = encode_envelope(envelope) + b"GET / HTTP/1.1\r\n\r\n"
    fixture.api.accept_unnamed(StreamKind.KUBERNETES_API, opening, fixture.stream)
    assert (fixture.stream.reset_with is not None) == refused


def test_who_names_no_agent_where_one_must_be_named_is_refused():
    fixture = Fixture(own_agent_id=None)
    envelope = RequestEnvelope(agent_id=0, grant_id="", identity=AsAgent())
    fixture.api.accept(
        StreamKind.KUBERNETES_API, encode_envelope(envelope) + b"GET / HTTP/1.1\r\n\r\n", fixture.stream
    )
    assert fixture.stream.reset_with == (ResetCode.FORBIDDEN, "the request was granted for another agent")
