"""The stock of tunnels of one pod."""

from __future__ import annotations

import pytest

from kasbah.errors import PeerError
from kasbah.kas.kubernetes_api import grant as grants
from kasbah.kas.reverse_tunnel.grpc_tunnels import GrpcTunnels
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import ConnectRequest, ConnectResponse
from kasbah.wire.reverse_tunnel.descriptor import KUBERNETES_API_DESCRIPTOR
from kasbah.wire.rpc import StatusCode
from kasbah.wire.stream import ResetCode, StreamClass, StreamKind
from tests.doubles.people import access_of_mia
from tests.doubles.recording_call import RecordingCall
from tests.doubles.tunnel_pair import RecordingHandler

GRANT = grants.issue("g", access_of_mia(), deadline_ms=1)
OPENING = GRANT.envelope_for(upgrade=b"", open_ended=False) + b"GET /version HTTP/1.1\r\n\r\n"
OTHER = ConnectRequest(
    descriptor={"agent_descriptor": {"services": [{"name": "s", "methods": [{"name": "m"}]}]}}
).SerializeToString()


class Stock:
    def __init__(self, limit: int = 10) -> None:
        self.became_idle = 0
        self.tunnels = GrpcTunnels(limit=limit, ready=self.ready)

    def ready(self) -> None:
        self.became_idle += 1

    def connect(self, descriptor: bytes = KUBERNETES_API_DESCRIPTOR):
        call = RecordingCall()
        end = self.tunnels.accept(call)
        if descriptor:
            end.message_received(descriptor)
        return call, end

    def open(self, opening: bytes = OPENING) -> RecordingHandler:
        handler = RecordingHandler()
        self.tunnels.open_stream(StreamKind.KUBERNETES_API, opening, handler, stream_class=StreamClass.SMALL)
        return handler

    @property
    def counts(self) -> tuple[bool, int]:
        return self.tunnels.can_open, self.tunnels.stream_count


def test_a_tunnel_is_of_use_once_it_has_said_what_it_serves():
    it = Stock()
    _, end = it.connect(descriptor=b"")
    assert (it.counts, it.became_idle) == ((False, 0), 0)
    end.message_received(KUBERNETES_API_DESCRIPTOR)
    assert (it.counts, it.became_idle) == ((True, 0), 1)


def test_a_request_uses_the_tunnel_up_that_was_idle_longest():
    it = Stock()
    first, end = it.connect()
    second, _ = it.connect()
    it.open()
    assert it.counts == (True, 1)
    assert ConnectResponse.FromString(first.sent[0]).request_info.method_name.endswith("/MakeRequest")
    assert second.sent == []
    end.failed(StatusCode.CANCELLED, "gone")
    assert it.counts == (True, 0)


def test_an_agent_that_gives_a_used_tunnel_up_costs_its_request():
    it = Stock()
    _, end = it.connect()
    handler = it.open()
    end.failed(StatusCode.CANCELLED, "gone")
    assert handler.words() == ["reset"]


def test_nothing_can_be_opened_where_nothing_is_idle():
    with pytest.raises(PeerError, match="idle"):
        Stock().open()


def test_a_request_that_cannot_travel_uses_no_tunnel_up():
    it = Stock()
    it.connect()
    with pytest.raises(PeerError):
        it.open(b"\xff\xff")
    assert it.counts == (True, 0)


def test_a_tunnel_to_something_else_is_kept_and_not_used():
    it = Stock()
    call, _ = it.connect(OTHER)
    assert (it.counts, call.is_over) == ((False, 0), False)


def test_tunnels_are_counted():
    it = Stock(limit=2)
    _, end = it.connect()
    it.connect(OTHER)
    refused, _ = it.connect()
    assert refused.failed_with is not None
    assert refused.failed_with[0] is StatusCode.RESOURCE_EXHAUSTED
    end.failed(StatusCode.CANCELLED, "gone")
    assert it.connect()[0].failed_with is None


def test_who_retires_lets_idle_tunnels_go_and_keeps_used_ones():
    it = Stock()
    used, _ = it.connect()
    it.open()
    idle, silent = it.connect()[0], it.connect(descriptor=b"")[0]
    it.tunnels.retire()
    assert [call.ended for call in (used, idle, silent)] == [False, True, True]
    assert (idle.sent, it.counts) == ([], (False, 1))
    late, _ = it.connect()
    assert (late.ended, it.counts) == (True, (False, 1))


def test_a_token_that_is_revoked_cuts_them_all():
    it = Stock()
    used, _ = it.connect()
    handler = it.open()
    idle, _ = it.connect()
    it.tunnels.fail(StatusCode.UNAUTHENTICATED, "unauthenticated")
    assert used.failed_with == idle.failed_with == (StatusCode.UNAUTHENTICATED, "unauthenticated")
    assert handler.said[0][1][0] == ResetCode.INTERNAL
    assert it.counts == (False, 0)
