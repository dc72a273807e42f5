from __future__ import annotations

import pytest

from kasbah.kube.connection import MAX_INTERIM_ANSWERS, UpstreamConnection
from kasbah.kube.response_head import MAX_HEAD_BYTES
from tests.doubles.upstream import RecordingExchange, RecordingOwner
from tests.doubles.upstream_transport import UpstreamTransport

OK5 = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Fixture:
    """A connection with one exchange begun on it."""

    def __init__(self, exchange: RecordingExchange | None = None, *, tls: bool = False) -> None:
        self.owner = RecordingOwner()
        self.transport = UpstreamTransport(tls=tls)
        self.connection = UpstreamConnection(self.owner)
        self.connection.connection_made(self.transport)
        self.exchange = exchange or RecordingExchange()
        self.exchange.connected(self.connection)

    def again(self) -> RecordingExchange:
        self.exchange = RecordingExchange()
        self.exchange.connected(self.connection)
        return self.exchange


def test_the_head_goes_out_at_the_end_of_the_turn():
    owner, transport = RecordingOwner(patient=True), UpstreamTransport()
    connection = UpstreamConnection(owner)
    connection.connection_made(transport)
    RecordingExchange().connected(connection)
    assert transport.take() == b""
    connection.flush()
    assert transport.take() == b"GET / HTTP/1.1\r\n\r\n"


def test_the_head_goes_before_the_body_however_soon_that_comes():
    owner, transport = RecordingOwner(patient=True), UpstreamTransport()
    connection = UpstreamConnection(owner)
    connection.connection_made(transport)
    RecordingExchange().connected(connection)
    connection.write(b"body")
    assert transport.take() == b"GET / HTTP/1.1\r\n\r\nbody"


def test_a_head_that_still_waits_goes_nowhere_once_nobody_wants_the_answer():
    owner, transport = RecordingOwner(patient=True), UpstreamTransport()
    connection = UpstreamConnection(owner)
    connection.connection_made(transport)
    RecordingExchange().connected(connection)
    connection.abort()
    connection.flush()
    assert transport.take() == b""


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("answer", [OK5, CHUNKS + b"2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\nTrailer: x\r\n\r\n"])
def test_an_answer_is_whole_however_it_is_cut(answer: bytes, size: int):
    fixture = Fixture()
    for start in range(0, len(answer), size):
        fixture.connection.data_received(answer[start : start + size])
    assert (fixture.exchange.body, fixture.exchange.ended) == (b"hello", True)
    assert (fixture.owner.released, fixture.owner.discarded) == (1, 0)


def test_one_connection_serves_one_exchange_after_another():
    fixture = Fixture()
    for answer in (OK5, CHUNKS + b"1\r\na\r\n0\r\n\r\n", CHUNKS + b"0\r\n\r\n", OK5):
        fixture.connection.data_received(answer)
        assert fixture.exchange.ended
        fixture.again()
    assert fixture.owner.released == 4


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body(status: int):
    fixture = Fixture()
    fixture.connection.data_received(b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status)
    assert fixture.exchange.ended


def test_an_answer_to_head_has_no_body():
    fixture = Fixture(RecordingExchange(bodiless=True))
    fixture.connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    assert fixture.exchange.ended
    assert fixture.owner.released == 1


def test_interim_answers_are_dropped():
    fixture = Fixture()
    fixture.connection.data_received(b"HTTP/1.1 103 Early\r\n\r\n" * MAX_INTERIM_ANSWERS + OK5)
    assert fixture.exchange.body == b"hello"


def test_a_flood_of_interim_answers_is_an_error():
    fixture = Fixture()
    fixture.connection.data_received(b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_INTERIM_ANSWERS + 1))
    assert "interim" in str(fixture.exchange.error)
    assert fixture.transport.aborted


@pytest.mark.parametrize(
    "extra", [OK5 + b"x", CHUNKS + b"0\r\n\r\nHTTP/1.1 200 OK\r\n", CHUNKS + b"0\r\n\r\nxx"]
)
def test_bytes_behind_an_answer_cost_the_connection(extra: bytes):
    fixture = Fixture()
    fixture.connection.data_received(extra)
    assert fixture.exchange.ended
    assert (fixture.owner.released, fixture.owner.discarded) == (0, 1)


def test_an_early_answer_costs_the_connection():
    fixture = Fixture(RecordingExchange(request_open=True))
    fixture.connection.data_received(OK5)
    assert fixture.exchange.ended
    assert fixture.transport.aborted


def test_a_request_told_complete_keeps_the_connection():
    fixture = Fixture(RecordingExchange(request_open=True))
    fixture.connection.write(b"body")
    fixture.connection.request_complete()
    fixture.connection.data_received(OK5)
    assert fixture.owner.released == 1


def test_a_close_header_closes():
    fixture = Fixture()
    fixture.connection.data_received(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert fixture.transport.aborted


def test_a_body_until_close_ends_with_the_connection():
    fixture = Fixture()
    fixture.connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nhel")
    fixture.connection.data_received(b"lo")
    fixture.connection.eof_received()
    assert (fixture.exchange.body, fixture.exchange.ended) == (b"hello", True)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200", OK5[:-1], CHUNKS + b"5\r\nhe"])
def test_an_early_end_is_an_error_and_not_stale(begun: bytes):
    fixture = Fixture()
    if begun:
        fixture.connection.data_received(begun)
    fixture.connection.eof_received()
    fixture.connection.connection_lost(None)
    assert "before its answer was complete" in str(fixture.exchange.error)
    assert not fixture.exchange.stale


def test_a_kept_connection_that_had_died_is_stale():
    fixture = Fixture()
    fixture.connection.data_received(OK5)
    exchange = fixture.again()
    fixture.connection.connection_lost(ConnectionResetError("reset"))
    assert exchange.stale


def test_a_kept_connection_that_began_to_answer_is_not_stale():
    fixture = Fixture()
    fixture.connection.data_received(OK5)
    exchange = fixture.again()
    fixture.connection.data_received(b"HTTP/1.1 1")
    fixture.connection.connection_lost(None)
    assert exchange.error is not None
    assert not exchange.stale


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nBad Header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * MAX_HEAD_BYTES,
        CHUNKS + b"zz\r\n",
        CHUNKS + b"1\r\nab\r\n",
        CHUNKS + b"0\r\n" + b"T: x\r\n" * 20_000,
        SWITCH,
    ],
)
def test_a_broken_answer_is_an_error_and_costs_the_connection(answer: bytes):
    fixture = Fixture()
    fixture.connection.data_received(answer)
    assert fixture.exchange.error is not None
    assert not fixture.exchange.stale
    assert fixture.transport.aborted


def test_words_on_an_idle_connection_close_it():
    fixture = Fixture()
    fixture.connection.data_received(OK5)
    fixture.connection.data_received(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert not fixture.connection.is_idle
    assert fixture.owner.discarded == 1


def test_an_idle_connection_that_ends_is_gone_before_anybody_takes_it():
    fixture = Fixture()
    fixture.connection.data_received(OK5)
    assert fixture.connection.eof_received() is False
    assert not fixture.connection.is_idle


def test_reading_is_paused_once_and_resumed_before_reuse():
    fixture = Fixture()
    fixture.connection.pause_reading()
    assert not fixture.transport.reading
    fixture.connection.data_received(OK5)
    assert fixture.transport.reading


def test_a_full_connection_tells_its_exchange():
    fixture = Fixture()
    fixture.connection.pause_writing()
    assert fixture.exchange.paused
    fixture.connection.resume_writing()
    assert not fixture.exchange.paused


def test_an_aborted_exchange_hears_nothing_more():
    fixture = Fixture()
    fixture.connection.abort()
    fixture.connection.connection_lost(None)
    fixture.connection.write(b"late")
    assert fixture.exchange.error is None
    assert fixture.owner.discarded == 1


def upgraded(*, tls: bool = False) -> Fixture:
    fixture = Fixture(RecordingExchange(upgrade=b"websocket"), tls=tls)
    fixture.connection.data_received(SWITCH + b"first")
    return fixture


def test_a_101_makes_a_pipe():
    fixture = upgraded()
    fixture.transport.take()
    fixture.connection.write(b"to")
    fixture.connection.data_received(b" from")
    assert (fixture.transport.take(), fixture.exchange.body) == (b"to", b"first from")


def test_a_101_must_name_what_was_asked_for():
    fixture = Fixture(RecordingExchange(upgrade=b"spdy/3.1"))
    fixture.connection.data_received(SWITCH)
    assert "not asked for" in str(fixture.exchange.error)


def test_a_refused_upgrade_is_an_ordinary_answer_and_costs_the_connection():
    fixture = Fixture(RecordingExchange(upgrade=b"websocket"))
    fixture.connection.data_received(OK5)
    assert fixture.exchange.ended
    assert fixture.owner.released == 0


def test_a_pipe_is_half_closed_where_tcp_allows():
    fixture = upgraded()
    assert fixture.connection.end_pipe() is True
    assert fixture.transport.eof_written
    assert not fixture.transport.aborted


def test_a_pipe_over_tls_cannot_be_half_closed():
    assert upgraded(tls=True).connection.end_pipe() is False


def test_the_far_end_of_a_pipe_closes_its_half_first():
    fixture = upgraded()
    assert fixture.connection.eof_received() is True
    assert fixture.exchange.ended
    fixture.connection.write(b"more")
    assert fixture.transport.take().endswith(b"more")
    fixture.connection.end_pipe()
    assert fixture.transport.aborted


def test_a_pipe_over_tls_ends_whole():
    fixture = upgraded(tls=True)
    assert fixture.connection.eof_received() is False
    fixture.connection.connection_lost(None)
    assert fixture.exchange.ended
    assert fixture.exchange.error is None


def test_a_pipe_that_breaks_is_an_error():
    fixture = upgraded()
    fixture.connection.connection_lost(ConnectionResetError("reset"))
    assert "reset" in str(fixture.exchange.error)


class GivesUp(RecordingExchange):
    """Aborts on seeing the head, as a relay does whose stream is gone."""

    def answer_began(self, head: object) -> None:
        assert self.connection is not None
        self.connection.abort()


@pytest.mark.parametrize("answer", [OK5, CHUNKS + b"5\r\nhello\r\n0\r\n\r\n"])
def test_an_exchange_may_give_up_on_the_head(answer: bytes):
    fixture = Fixture(GivesUp())
    fixture.connection.data_received(answer)
    assert not fixture.exchange.ended
    assert fixture.owner.discarded == 1


class GivesUpOnData(RecordingExchange):
    """Aborts on the first bytes of body."""

    def answer_data(self, data: bytes) -> None:
        assert self.connection is not None
        self.connection.abort()


@pytest.mark.parametrize("answer", [OK5, OK5 + b"x", CHUNKS + b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"])
def test_an_exchange_may_give_up_on_data(answer: bytes):
    fixture = Fixture(GivesUpOnData())
    fixture.connection.data_received(answer)
    assert not fixture.exchange.ended
    assert fixture.owner.discarded == 1
