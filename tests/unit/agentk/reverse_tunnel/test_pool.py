"""How many tunnels there are, and when the next is opened; no connection and no clock."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from kasbah.agentk.reverse_tunnel.pool import MAX_TUNNELS, TunnelPool
from kasbah.wire.methods import CONNECT, KUBERNETES_API_MAKE_REQUEST
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import ConnectResponse, RequestInfo
from kasbah.wire.reverse_tunnel.agent_end import AgentEnd
from kasbah.wire.reverse_tunnel.descriptor import KUBERNETES_API_DESCRIPTOR
from kasbah.wire.rpc import Call, RpcError, StatusCode

REQUEST = ConnectResponse(
    request_info=RequestInfo(method_name=KUBERNETES_API_MAKE_REQUEST.path)
).SerializeToString()


class Tunnel:
    """The call `Connect`, and kas at its other end."""

    def __init__(self, handler: AgentEnd) -> None:
        self.handler = handler
        self.said: list[bytes] = []
        self.failed_with: StatusCode | None = None
        self.carried: Call | None = None

    def send(self, message: bytes) -> bool:
        self.said.append(message)
        return True

    def end(self) -> None: ...

    def fail(self, code: StatusCode, message: str = "") -> None:
        self.failed_with = code

    def consumed(self, size: int) -> None: ...

    def request(self) -> None:
        self.handler.message_received(REQUEST)

    def over(self, code: StatusCode = StatusCode.OK, message: str = "") -> None:
        if code:
            self.handler.failed(code, message)
        else:
            self.handler.ended()


class Answerer:
    """Hears a carried call."""

    def __init__(self) -> None:
        self.failed_with: StatusCode | None = None

    def message_received(self, message: bytes) -> None: ...

    def ended(self) -> None: ...

    def failed(self, code: StatusCode, message: str) -> None:
        self.failed_with = code

    def writable(self) -> None: ...


class Kas:
    """Takes tunnels; `open` are those that are."""

    def __init__(self, *, elsewhere: int = 0) -> None:
        self.tunnels: list[Tunnel] = []
        self.answerers: list[Answerer] = []
        self.room = 1000
        self.pool = TunnelPool(self._open, self._serve, elsewhere=lambda: elsewhere, random=lambda: 0.0)
        self.now = 100.0

    def _open(self, path: str, handler: AgentEnd) -> Call:
        assert path == CONNECT.path
        if not self.room:
            raise RpcError(StatusCode.UNAVAILABLE, "full")
        self.room -= 1
        self.tunnels.append(Tunnel(handler))
        return self.tunnels[-1]

    def _serve(self, path, metadata, call) -> Answerer:
        self.answerers.append(Answerer())
        return self.answerers[-1]

    def start(self) -> Kas:
        self.pool.start(self.now)
        return self

    def later(self, seconds: float = 1) -> Kas:
        self.now += seconds
        self.pool.tick(self.now)
        return self

    def counts(self) -> tuple[int, int]:
        """Idle and active."""
        return self.pool.idle, self.pool.count - self.pool.idle


def test_two_tunnels_say_at_once_what_they_serve():
    kas = Kas().start()
    assert [tunnel.said for tunnel in kas.tunnels] == [[KUBERNETES_API_DESCRIPTOR]] * 2


def test_a_request_that_leaves_one_idle_makes_eleven():
    kas = Kas().start()
    kas.tunnels[0].request()
    assert kas.counts() == (11, 1)


def test_the_next_requests_use_what_is_there():
    kas = Kas().start()
    for tunnel in kas.tunnels[:2]:
        tunnel.request()
    assert kas.counts() == (10, 2)


def test_what_is_used_up_is_replaced_at_once():
    kas = Kas().start()
    kas.tunnels[0].request()
    kas.tunnels[0].over()
    assert kas.counts() == (12, 0)


def test_there_are_never_more_than_five_hundred():
    kas = Kas().start()
    position = 0
    while position < len(kas.tunnels):
        kas.tunnels[position].request()
        position += 1
    assert kas.counts() == (0, MAX_TUNNELS)


def test_tunnels_of_the_connection_that_kas_drains_count_as_well():
    assert Kas(elsewhere=499).start().counts() == (1, 0)


@pytest.mark.parametrize("code", [StatusCode.OK, StatusCode.CANCELLED, StatusCode.DEADLINE_EXCEEDED])
def test_a_clean_end_is_followed_by_the_next_tunnel_at_once(code: StatusCode):
    kas = Kas().start().later(10)
    kas.tunnels[0].over(code)
    assert (kas.counts(), len(kas.tunnels)) == ((2, 0), 3)


def test_whoever_ends_tunnels_as_fast_as_they_open_is_met_once_a_second():
    kas = Kas().start()
    for _ in range(50):
        kas.tunnels[-1].over()
    assert len(kas.tunnels) == 2
    assert len(kas.later().tunnels) == 3


def test_after_a_quiet_minute_the_surplus_ends_with_what_kas_ends():
    kas = Kas().start()
    kas.tunnels[0].request()
    kas.tunnels[0].over()
    kas.later(30)
    kas.tunnels[1].over()
    assert kas.counts() == (12, 0)
    kas.later(31)
    for tunnel in kas.tunnels[2:]:
        tunnel.over()
    assert kas.counts() == (2, 0)


def test_refusals_are_one_outage_with_one_back_off_and_one_line():
    with capture_logs() as logs:
        kas = Kas().start()
        for attempt in range(4):
            for tunnel in kas.tunnels[-2:]:
                tunnel.over(StatusCode.UNAUTHENTICATED, "unauthenticated")
            assert len(kas.tunnels) == 2 + 2 * attempt
            kas.later(1.6**attempt - 0.1)
            assert len(kas.tunnels) == 2 + 2 * attempt
            kas.later(0.2)
            assert len(kas.tunnels) == 4 + 2 * attempt
    assert [(log["log_level"], log["error"]) for log in logs] == [("warning", "unauthenticated")]
    assert "token" in logs[0]["hint"]


def test_the_end_of_an_outage_is_said_and_the_next_one_too():
    with capture_logs() as logs:
        kas = Kas().start()
        for _ in range(2):
            kas.tunnels[-1].over(StatusCode.RESOURCE_EXHAUSTED, "too many")
            kas.later(5).later(5)
    assert [log["event"] for log in logs] == ["kas refuses tunnels", "kas takes tunnels again"] * 2


def test_a_used_tunnel_that_fails_is_no_outage():
    with capture_logs() as logs:
        kas = Kas().start()
        kas.tunnels[0].request()
        kas.tunnels[0].over(StatusCode.INVALID_ARGUMENT, "somebody's mistake")
    assert (kas.counts(), logs) == ((12, 0), [])
    assert kas.answerers[0].failed_with is StatusCode.INVALID_ARGUMENT


def test_kas_has_accepted_us_when_it_lets_a_tunnel_stand_or_uses_one():
    kas = Kas().start()
    assert not kas.pool.is_accepted
    assert kas.later(2).pool.is_accepted
    other = Kas().start()
    other.tunnels[0].request()
    assert other.pool.is_accepted


def test_a_connection_that_takes_no_more_is_asked_again_later():
    kas = Kas()
    kas.room = 1
    assert kas.start().counts() == (1, 0)
    kas.room = 5
    assert kas.later().counts() == (2, 0)


def test_who_stops_may_give_up_the_idle_ones_and_lets_the_others_run():
    kas = Kas().start()
    kas.tunnels[0].request()
    kas.pool.stop()
    kas.pool.abandon_idle("agentk stops")
    assert kas.counts() == (0, 1)
    assert [tunnel.failed_with for tunnel in kas.tunnels] == [None] + [StatusCode.CANCELLED] * 11
    kas.tunnels[0].over()
    assert kas.later().counts() == (0, 0)


def test_when_kas_drains_idle_tunnels_are_left_to_kas():
    kas = Kas().start()
    kas.pool.stop()
    assert kas.counts() == (2, 0)
    kas.tunnels[0].over()
    assert kas.counts() == (1, 0)
    kas.tunnels[1].request()  # it was being handed out
    assert kas.counts() == (0, 1)
