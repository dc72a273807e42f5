from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from kasbah.agentk.kubernetes_api.relay import LINGER_S, MAX_HELD_BYTES, NEVER, Outcome, Relay
from kasbah.agentk.kubernetes_api.upstream_request import CHUNKED, UpstreamRequest
from kasbah.kube.errors import UnreachableError, UpstreamError
from kasbah.wire.stream import ResetCode
from tests.doubles.recording_stream import RecordingStream
from tests.doubles.upstream import FakeConnections
from tests.doubles.upstream_transport import UpstreamTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
SWITCH = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nX-Stream-Protocol-Version: v4\r\n\r\n"
HEAD = b"GET / HTTP/1.1\r\n\r\n"


@dataclass
class Owner:
    """Keeps the books of one relay."""

    connections: FakeConnections
    time: float = 100.0
    ended: list[Outcome] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def relay_ended(self, relay: Relay, outcome: Outcome) -> None:
        self.ended.append(outcome)


class Fixture:
    """A relay between a recording stream and a connection over a fake transport."""

    def __init__(
        self,
        *,
        body: int = 0,
        upgrade: bytes = b"",
        deadline_s: float = 0,
        at_once: bool = True,
        tls: bool = False,
        repeatable: bool = True,
    ) -> None:
        self.connections = FakeConnections(at_once=at_once, tls=tls)
        self.owner = Owner(self.connections)
        self.stream = RecordingStream()
        request = UpstreamRequest(
            agent_id=7,
            head=HEAD,
            body=body,
            bodiless_answer=False,
            upgrade=upgrade,
            repeatable=repeatable,
            deadline_s=deadline_s,
        )
        self.relay = Relay(self.owner, self.stream, request)
        self.relay.start()

    @property
    def transport(self) -> UpstreamTransport:
        return self.connections.transports[-1]

    def answer(self, data: bytes) -> None:
        self.connections.connections[-1].data_received(data)


def test_a_small_request_is_answered_whole():
    fixture = Fixture()
    fixture.relay.ended()
    fixture.answer(OK)
    assert fixture.transport.take() == HEAD
    assert fixture.stream == RecordingStream(
        head=b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", data=bytearray(b"hello"), ended=True
    )
    assert fixture.owner.ended == ["completed"]
    assert fixture.connections.owner.released == 1


def test_a_counted_body_goes_up_and_opens_the_window():
    fixture = Fixture(body=6)
    fixture.relay.data_received(b"abc")
    fixture.relay.data_received(b"def")
    fixture.relay.ended()
    assert fixture.transport.take() == HEAD + b"abcdef"
    assert fixture.stream.taken == 6
    fixture.answer(OK)
    assert fixture.connections.owner.released == 1


def test_a_body_of_unknown_length_is_chunked_again():
    fixture = Fixture(body=CHUNKED)
    fixture.relay.data_received(b"hello world, it is")
    fixture.relay.data_received(b"")
    fixture.relay.ended()
    assert fixture.transport.take() == HEAD + b"12\r\nhello world, it is\r\n0\r\n\r\n"


def test_data_waits_for_a_connection_without_opening_the_window():
    fixture = Fixture(body=3, at_once=False)
    fixture.relay.data_received(b"ab")
    fixture.relay.data_received(b"c")
    fixture.relay.ended()
    assert fixture.stream.taken == 0
    fixture.connections.connect()
    assert fixture.transport.take() == HEAD + b"abc"
    assert fixture.stream.taken == 3


def test_a_kas_that_ignores_the_window_is_cut_off():
    fixture = Fixture(body=CHUNKED, at_once=False)
    fixture.relay.data_received(b"x" * MAX_HELD_BYTES)
    fixture.relay.data_received(b"x")
    assert fixture.stream.reset_with is not None
    assert fixture.stream.reset_with[0] == ResetCode.PROTOCOL


@pytest.mark.parametrize(("body", "data"), [(2, b"abc"), (0, b"a"), (5, b"abc")])
def test_a_body_of_another_length_than_declared_breaks_the_request(body: int, data: bytes):
    fixture = Fixture(body=body)
    fixture.relay.data_received(data)
    fixture.relay.ended()
    assert fixture.stream.reset_with is not None
    assert fixture.stream.reset_with[0] == ResetCode.PROTOCOL
    assert fixture.transport.aborted


def test_a_full_api_server_holds_the_window_shut():
    fixture = Fixture(body=CHUNKED)
    fixture.relay.writing_paused()
    fixture.relay.data_received(b"abc")
    assert fixture.stream.taken == 0
    fixture.relay.writing_resumed()
    assert fixture.stream.taken == 3
    fixture.relay.writing_resumed()
    assert fixture.stream.taken == 3


def test_a_full_stream_stops_reading_until_it_is_writable():
    fixture = Fixture()
    fixture.stream.full = True
    fixture.answer(OK[:-2])
    assert not fixture.transport.reading
    fixture.relay.writable()
    assert fixture.transport.reading


def test_an_answer_before_the_whole_request_is_relayed_and_the_rest_dropped():
    fixture = Fixture(body=10)
    fixture.relay.data_received(b"abc")
    fixture.answer(OK)
    fixture.relay.data_received(b"defghij")
    fixture.relay.ended()
    assert fixture.stream.ended
    assert fixture.stream.taken == 10
    assert fixture.transport.aborted


def test_a_client_that_hangs_up_closes_the_connection():
    fixture = Fixture()
    fixture.relay.reset(ResetCode.CANCELLED, "gone")
    assert fixture.transport.aborted
    assert fixture.owner.ended == ["cancelled"]


def test_a_client_that_hangs_up_early_leaves_the_queue():
    fixture = Fixture(at_once=False)
    fixture.relay.reset(ResetCode.CANCELLED, "gone")
    assert fixture.connections.forgotten == [fixture.relay]


def test_an_api_server_that_is_not_there_is_said_so():
    fixture = Fixture(at_once=False)
    fixture.relay.exchange_failed(UnreachableError("dial tcp h:1: connect: connection refused"), stale=False)
    assert fixture.stream.reset_with == (
        ResetCode.UPSTREAM_UNREACHABLE,
        "dial tcp h:1: connect: connection refused",
    )
    assert fixture.owner.ended == ["unreachable"]


def test_an_error_is_scrubbed_of_credentials():
    fixture = Fixture()
    fixture.relay.exchange_failed(UpstreamError("bad glpat-abcdefgh"), stale=False)
    assert fixture.stream.reset_with == (ResetCode.UPSTREAM_FAILED, "bad ***")


def test_an_answer_that_breaks_off_resets_the_stream():
    fixture = Fixture()
    fixture.answer(OK[:-2])
    fixture.connections.connections[0].connection_lost(None)
    assert fixture.stream.reset_with is not None
    assert fixture.stream.reset_with[0] == ResetCode.UPSTREAM_FAILED
    assert not fixture.stream.ended


def test_a_read_on_a_stale_connection_is_repeated_once():
    fixture = Fixture()
    fixture.relay.exchange_failed(UpstreamError("gone"), stale=True)
    assert len(fixture.connections.transports) == 2
    fixture.relay.exchange_failed(UpstreamError("gone"), stale=True)
    assert fixture.owner.ended == ["failed"]


def test_a_write_on_a_stale_connection_is_not_repeated():
    fixture = Fixture(repeatable=False)
    fixture.relay.exchange_failed(UpstreamError("gone"), stale=True)
    assert fixture.owner.ended == ["failed"]


def test_a_deadline_that_passes_is_said_so():
    fixture = Fixture(deadline_s=30)
    assert fixture.relay.deadline == 130
    fixture.relay.expire()
    assert fixture.stream.reset_with == (
        ResetCode.DEADLINE,
        "the API server did not begin to answer within 30 s",
    )
    assert fixture.transport.aborted


def test_the_deadline_is_for_the_head_only():
    fixture = Fixture(deadline_s=30)
    fixture.answer(OK[:-1])
    assert fixture.relay.deadline == NEVER


def test_a_second_head_breaks_the_stream():
    fixture = Fixture()
    fixture.relay.head_received(b"x")
    assert fixture.owner.ended == ["refused"]


def test_a_stop_ends_the_request_once():
    fixture = Fixture()
    fixture.relay.stop()
    fixture.relay.stop()
    assert fixture.stream.reset_with == (ResetCode.CANCELLED, "agentk is stopping")
    assert fixture.owner.ended == ["cancelled"]


def test_an_upgrade_holds_the_clients_bytes_until_the_101():
    fixture = Fixture(upgrade=b"websocket")
    fixture.relay.data_received(b"early")
    assert fixture.transport.take() == HEAD
    fixture.answer(SWITCH + b"down")
    assert fixture.transport.take() == b"early"
    assert fixture.stream.head == b"HTTP/1.1 101 Switching\r\nX-Stream-Protocol-Version: v4\r\n\r\n"
    assert (fixture.stream.data, fixture.stream.taken) == (b"down", 5)


def test_a_refused_upgrade_drops_the_clients_bytes():
    fixture = Fixture(upgrade=b"websocket")
    fixture.relay.data_received(b"early")
    fixture.answer(OK)
    assert fixture.transport.take() == HEAD
    assert (fixture.stream.data, fixture.stream.ended, fixture.stream.taken) == (b"hello", True, 5)


def piped(*, tls: bool = False) -> Fixture:
    fixture = Fixture(upgrade=b"websocket", tls=tls)
    fixture.answer(SWITCH)
    fixture.transport.take()
    return fixture


def test_a_pipe_carries_bytes_both_ways():
    fixture = piped()
    fixture.relay.data_received(b"up")
    fixture.answer(b"down")
    assert (fixture.transport.take(), fixture.stream.data) == (b"up", b"down")


def test_a_client_that_ends_half_closes_the_pipe():
    fixture = piped()
    fixture.relay.ended()
    assert fixture.transport.eof_written
    fixture.answer(b"last words")
    fixture.connections.connections[0].eof_received()
    assert (fixture.stream.data, fixture.stream.ended) == (b"last words", True)
    assert fixture.owner.ended == ["completed"]


def test_over_tls_a_half_closed_pipe_lingers_while_bytes_come():
    fixture = piped(tls=True)
    fixture.relay.ended()
    assert fixture.relay.deadline == 100 + LINGER_S
    fixture.owner.time = 105
    fixture.answer(b"more")
    assert fixture.relay.deadline == 105 + LINGER_S
    fixture.relay.expire()
    assert fixture.transport.aborted
    assert fixture.owner.ended == ["completed"]


def test_a_container_that_ends_lets_the_client_finish():
    fixture = piped()
    fixture.connections.connections[0].eof_received()
    assert fixture.stream.ended
    fixture.owner.time = 103
    fixture.relay.data_received(b"bye")
    assert fixture.transport.take() == b"bye"
    assert fixture.relay.deadline == 103 + LINGER_S
    fixture.relay.ended()
    assert fixture.transport.aborted
    assert fixture.owner.ended == ["completed"]


def test_a_pipe_that_breaks_resets_the_stream():
    fixture = piped()
    fixture.connections.connections[0].connection_lost(ConnectionResetError("reset by peer"))
    assert fixture.owner.ended == ["failed"]
