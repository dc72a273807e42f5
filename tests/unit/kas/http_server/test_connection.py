from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.kas.http_server.clock import CoarseClock
from kasbah.kas.http_server.connection import Connection
from kasbah.kas.http_server.exchange import Client, Exchange, NullExchange, Upgrade
from kasbah.kas.http_server.settings import HttpServerSettings
from kasbah.wire.http1 import RequestHead
from tests.doubles.fake_transport import FakeTransport
from tests.doubles.recording_exchange import RecordingExchange

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def post(framing: bytes, body: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n" + body


class Scene:
    """One connection without a network; the newest exchange is `exchange` unless `answer` answers at once."""

    def __init__(
        self,
        *,
        answer: Callable[[Client], None] | None = None,
        open_ended: bool = False,
        secure: bool = False,
        http2: bool = False,
        **limits: float,
    ) -> None:
        self.upgrades: list[Upgrade] = []
        self.accept_http2 = self.upgrades.append if http2 else None
        self.settings = HttpServerSettings(**limits)
        self.clock = CoarseClock(0, 0)
        self.heads: list[RequestHead] = []
        self.exchanges: list[RecordingExchange] = []
        self.gone = False
        self.proved = False
        self.patient = False
        self._answer = answer
        self._open_ended = open_ended
        self.connection = Connection(self, secure=secure)
        self.transport = FakeTransport(can_half_close=not secure)
        self.connection.connection_made(self.transport)

    def route(self, head: RequestHead, client: Client) -> Exchange:
        self.heads.append(head)
        if self._answer is not None:
            self._answer(client)
            return NullExchange()
        self.exchanges.append(RecordingExchange(open_ended=self._open_ended))
        return self.exchanges[-1]

    def admit(self, connection: Connection) -> bool:
        return True

    def authenticated(self, connection: Connection) -> None:
        self.proved = True

    def hand_over(self, connection: Connection) -> None:
        self.gone = True

    def forget(self, connection: Connection) -> None:
        self.gone = True

    def flush_soon(self, connection: Connection) -> None:
        if not self.patient:
            connection.flush()  # tests look at once; the server does so at the end of the turn

    @property
    def exchange(self) -> RecordingExchange:
        return self.exchanges[-1]

    def receive(self, *parts: bytes) -> bytes:
        """Receive these; what was written since."""
        for part in parts:
            self.connection.data_received(part)
        return self.transport.take()

    def pass_time(self, seconds: float) -> None:
        self.clock.tick(self.clock.now + seconds, 0)
        self.connection.sweep(self.clock.now)


def say_ok(client: Client) -> None:
    client.start(b"HTTP/1.1 200 OK\r\n", 2)
    client.write(b"ok")
    client.finish()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_requests_are_answered_one_after_the_other_however_they_arrive():
    scene = Scene(answer=say_ok)
    assert scene.receive(GET + GET) == OK * 2
    assert scene.receive(*(bytes([byte]) for byte in GET)) == OK
    assert not scene.transport.closed


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.mark.parametrize("size", [1, 17, 18, 24, 30])
def test_who_begins_with_the_preface_of_http2_is_handed_over_however_it_arrives(size):
    scene, said = Scene(http2=True), PREFACE + b"settings"
    for start in range(0, len(said), size):
        if not scene.upgrades:
            scene.receive(said[start : start + size])
    (upgrade,) = scene.upgrades
    assert said.startswith(upgrade.received)
    assert len(upgrade.received) >= 18
    assert (scene.gone, scene.heads, scene.transport.take()) == (True, [], b"")


def test_http2_is_refused_where_nobody_speaks_it():
    assert Scene().receive(PREFACE).startswith(b"HTTP/1.1 400 ")


def test_a_preface_behind_a_request_is_no_preface():
    scene = Scene(http2=True, answer=say_ok)
    assert scene.receive(GET + PREFACE).startswith(OK + b"HTTP/1.1 400 ")
    assert not scene.upgrades


def test_a_preface_that_does_not_come_to_its_end_is_cut_off():
    scene = Scene(http2=True, head_timeout_s=10)
    scene.receive(PREFACE[:10])
    scene.pass_time(11)
    assert scene.transport.take().startswith(b"HTTP/1.1 408 ")


def test_an_upgrade_says_since_when_the_client_could_have_proved_itself():
    scene = Scene(answer=say_ok)
    scene.pass_time(3)
    scene.receive(GET)
    scene.pass_time(3)
    assert scene.connection.take_over().since == 3


def test_the_next_request_waits_for_the_answer():
    scene = Scene()
    scene.receive(GET + GET)
    assert len(scene.exchanges) == 1
    say_ok(scene.connection)
    assert len(scene.exchanges) == 2


def test_connection_close_is_said_and_done():
    scene = Scene(answer=say_ok)
    answer = scene.receive(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert b"Connection: close\r\n" in answer
    assert scene.transport.closed


def test_an_answer_without_a_length_is_chunked():
    scene = Scene()
    scene.receive(GET)
    scene.connection.start(b"HTTP/1.1 200 OK\r\n", None)
    scene.connection.write(b"hello")
    scene.connection.write(b"")
    scene.connection.finish()
    assert scene.transport.take().endswith(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")


def test_an_answer_to_http_1_0_ends_with_the_connection():
    scene = Scene()
    scene.receive(GET.replace(b"1.1", b"1.0"))
    scene.connection.start(b"HTTP/1.1 200 OK\r\n", None)
    scene.connection.write(b"hello")
    scene.connection.finish()
    assert scene.transport.take() == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"
    assert scene.transport.closed


@pytest.mark.parametrize("body", [b"short", b"much too long"])
def test_an_answer_of_another_length_than_announced_breaks_the_connection_off(body):
    scene = Scene()
    scene.receive(GET)
    scene.connection.start(b"HTTP/1.1 200 OK\r\n", 8)
    scene.connection.write(body)
    scene.connection.finish()
    assert scene.transport.aborted


def test_an_answer_that_never_began_breaks_the_connection_off():
    scene = Scene()
    scene.receive(GET)
    scene.connection.finish()
    assert scene.transport.aborted


def test_a_bodiless_answer_keeps_its_length():
    scene = Scene()
    scene.receive(GET)
    scene.connection.start(b"HTTP/1.1 200 OK\r\n", 5, bodiless=True)
    scene.connection.finish()
    assert scene.transport.take() == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


@pytest.mark.parametrize(
    ("framing", "body"),
    [(b"Content-Length: 5\r\n", b"hello"), (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n")],
)
def test_a_body_waits_until_it_is_accepted_and_ends_where_it_ends(framing, body):
    scene = Scene()
    scene.receive(post(framing, body[:3]), body[3:] + GET)
    assert scene.exchange.body == b""
    scene.connection.accept_body()
    scene.connection.accept_body()
    assert (scene.exchange.body, scene.exchange.said) == (b"hello", ["body ended"])
    say_ok(scene.connection)
    assert len(scene.exchanges) == 2


def test_a_body_accepted_by_the_route_is_delivered_to_its_exchange():
    scene = Scene()
    exchange = RecordingExchange()

    def route(head: RequestHead, client: Client) -> Exchange:
        client.accept_body()
        return exchange

    scene.route = route
    scene.receive(post(b"Content-Length: 2\r\n", b"ok"))
    assert (exchange.body, exchange.said) == (b"ok", ["body ended"])


def test_an_exchange_that_ends_within_its_body_hears_no_more_of_it():
    scene = Scene()
    scene.receive(post(b"Transfer-Encoding: chunked\r\n"))
    scene.exchange.body_received = lambda data: say_ok(scene.connection)
    scene.connection.accept_body()
    scene.receive(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n" + GET)
    assert scene.exchanges[0].said == []
    assert len(scene.exchanges) == 2


def test_100_continue_is_said_once_the_body_is_wanted():
    scene = Scene()
    assert scene.receive(post(b"Content-Length: 2\r\nExpect: 100-continue\r\n")) == b""
    scene.connection.accept_body()
    assert scene.transport.take() == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_an_answer_before_100_continue_ends_the_connection():
    scene = Scene(answer=say_ok)
    assert b"Connection: close" in scene.receive(post(b"Content-Length: 2\r\nExpect: 100-continue\r\n"))
    assert scene.transport.half_closed
    scene.receive(b"ok" + GET)
    assert len(scene.heads) == 1


def test_a_body_nobody_wants_is_read_and_thrown_away():
    scene = Scene(answer=say_ok)
    assert scene.receive(post(b"Content-Length: 4\r\n", b"ab"), b"cd" + GET) == OK * 2


def test_a_body_nobody_wants_has_a_limit():
    scene = Scene(answer=say_ok, discard_bytes=10)
    scene.receive(post(b"Content-Length: 1000\r\n"), b"x" * 11)
    assert scene.transport.aborted


def test_a_body_nobody_wants_has_a_deadline():
    scene = Scene(answer=say_ok, head_timeout_s=5)
    scene.receive(post(b"Content-Length: 1000\r\n"))
    scene.pass_time(6)
    assert scene.transport.aborted


def test_malformed_chunks_before_the_answer_are_a_400():
    scene = Scene()
    scene.receive(post(b"Transfer-Encoding: chunked\r\n"))
    scene.connection.accept_body()
    assert scene.receive(b"nonsense\r\n").startswith(b"HTTP/1.1 400 ")
    assert scene.exchange.said == ["gone"]


def test_malformed_chunks_within_the_answer_break_it_off():
    scene = Scene()
    scene.receive(post(b"Transfer-Encoding: chunked\r\n"))
    scene.connection.accept_body()
    scene.connection.start(b"HTTP/1.1 200 OK\r\n", None)
    scene.receive(b"nonsense\r\n")
    assert scene.transport.aborted


def test_a_paused_body_pauses_the_transport():
    scene = Scene()
    scene.receive(post(b"Content-Length: 9\r\n"))
    scene.connection.accept_body()
    scene.connection.pause_body()
    assert not scene.transport.reading
    scene.connection.resume_body()
    assert scene.transport.reading


def test_a_body_that_was_paused_at_its_end_does_not_pause_the_next_request():
    scene = Scene()
    scene.receive(post(b"Content-Length: 1\r\n", b"x"))
    scene.connection.accept_body()
    scene.connection.pause_body()
    scene.connection.start(b"HTTP/1.1 200 OK\r\n", 0)
    scene.connection.finish()
    assert scene.transport.reading


def test_what_is_sent_ahead_is_bounded():
    scene = Scene(held_bytes=100)
    scene.receive(GET, b"x" * 101)
    assert not scene.transport.reading
    scene.connection.start(b"HTTP/1.1 200 OK\r\n", 0)
    scene.connection.finish()
    assert scene.transport.reading


def test_back_pressure_reaches_the_exchange():
    scene = Scene()
    scene.receive(GET)
    scene.connection.start(b"HTTP/1.1 200 OK\r\n", None)
    scene.connection.pause_writing()
    assert scene.connection.write(b"x") is False
    scene.connection.resume_writing()
    assert scene.exchange.said == ["writable"]


def test_back_pressure_without_an_exchange_is_borne():
    scene = Scene()
    scene.connection.pause_writing()
    scene.connection.resume_writing()
    assert scene.connection.writable


@pytest.mark.parametrize(("open_ended", "cut"), [(False, True), (True, False)])
def test_a_reader_that_stalls_is_cut_unless_the_answer_is_open_ended(open_ended, cut):
    scene = Scene(open_ended=open_ended, write_stall_s=60)
    scene.receive(GET)
    scene.connection.start(b"HTTP/1.1 200 OK\r\n", None)
    scene.connection.pause_writing()
    scene.pass_time(61)
    assert scene.transport.aborted is cut


def test_a_body_that_dribbles_is_refused_and_a_quick_one_is_not():
    scene = Scene(body_window_s=30, body_bytes_per_s=10)
    scene.receive(post(b"Content-Length: 100000\r\n"))
    scene.connection.accept_body()
    scene.receive(b"x" * 400)
    scene.pass_time(31)
    assert scene.transport.take() == b""
    scene.receive(b"x" * 10)
    scene.pass_time(31)
    assert scene.transport.take().startswith(b"HTTP/1.1 408 ")


def test_a_body_that_we_do_not_read_is_not_late():
    scene = Scene(body_window_s=30)
    scene.receive(post(b"Content-Length: 100000\r\n"))
    scene.connection.accept_body()
    scene.connection.pause_body()
    scene.pass_time(31)
    assert scene.transport.take() == b""


def test_a_half_sent_head_has_a_deadline():
    scene = Scene(head_timeout_s=10)
    scene.receive(b"GET / HT")
    scene.pass_time(11)
    assert scene.transport.take().startswith(b"HTTP/1.1 408 ")
    scene.pass_time(11)
    assert scene.transport.aborted


def test_a_silent_connection_and_an_idle_one_are_closed():
    for request, seconds in ((b"", 11), (GET, 61)):
        scene = Scene(answer=say_ok)
        scene.receive(*([request] if request else []))
        scene.pass_time(seconds)
        assert scene.transport.closed


def test_a_malformed_head_is_refused_before_it_is_complete_and_nothing_after_it_is_read():
    scene = Scene()
    assert scene.receive(b"GET / HTTP/1.1\r\nHo st: a\r\n").startswith(b"HTTP/1.1 400 ")
    scene.receive(b"\r\n" + GET)
    assert scene.heads == []
    assert scene.transport.half_closed


def test_a_malformed_head_over_tls_is_refused_and_closed():
    scene = Scene(secure=True)
    assert scene.receive(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert scene.transport.closed


def test_a_head_that_never_ends_is_refused():
    scene = Scene()
    assert scene.receive(b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000).startswith(b"HTTP/1.1 431 ")


def test_the_exchanges_deadline_comes_once():
    scene = Scene()
    scene.receive(GET)
    scene.connection.set_deadline(5)
    scene.pass_time(4)
    scene.pass_time(2)
    scene.pass_time(2)
    assert scene.exchange.said == ["deadline"]


def test_a_lost_connection_is_told_once():
    scene = Scene()
    scene.receive(GET)
    scene.connection.connection_lost(None)
    assert scene.exchange.said == ["gone"]
    assert scene.gone
    say_ok(scene.connection)
    scene.connection.abort()
    scene.connection.switch_protocols(b"")
    assert scene.transport.take() == b""


def test_our_own_abort_is_not_told():
    scene = Scene()
    scene.receive(GET)
    scene.connection.abort()
    scene.connection.connection_lost(None)
    assert scene.transport.aborted
    assert scene.exchange.said == []


@pytest.mark.parametrize(("open_ended", "kept"), [(False, True), (True, False)])
def test_a_client_that_half_closes_gets_an_answer_that_will_end(open_ended, kept):
    scene = Scene(open_ended=open_ended)
    scene.receive(GET)
    assert scene.connection.eof_received() is kept
    say_ok(scene.connection)
    assert scene.transport.closed


def test_a_half_closed_client_gets_all_it_asked_for():
    scene = Scene()
    scene.receive(GET + GET + b"GET")
    scene.connection.eof_received()
    say_ok(scene.connection)
    say_ok(scene.connection)
    assert scene.transport.take() == OK * 2
    assert scene.transport.closed


def test_a_half_closed_client_is_not_waited_for_long():
    scene = Scene(half_close_s=10)
    scene.receive(GET)
    scene.connection.eof_received()
    scene.pass_time(11)
    assert scene.transport.aborted


@pytest.mark.parametrize("request_", [b"", b"GET /", post(b"Content-Length: 2\r\n", b"x")])
def test_a_client_that_ends_within_its_request_is_let_go(request_):
    scene = Scene()
    scene.receive(*([request_] if request_ else []))
    assert scene.connection.eof_received() is False


def test_after_a_switch_bytes_pass_as_they_are_both_ways():
    scene = Scene()
    scene.receive(GET + b"early")
    scene.connection.switch_protocols(b"HTTP/1.1 101 S\r\n\r\n")
    assert scene.exchange.body == b"early"
    assert scene.receive(b" late") == b"HTTP/1.1 101 S\r\n\r\n"
    scene.connection.write(b"raw")
    assert (scene.exchange.body, scene.transport.take()) == (b"early late", b"raw")
    assert scene.connection.eof_received() is True
    assert scene.exchange.said == ["body ended"]
    scene.connection.finish()
    assert scene.transport.closed


def test_a_long_exec_is_not_taken_for_a_slow_body():
    scene = Scene(open_ended=True)
    scene.receive(GET)
    scene.connection.switch_protocols(b"HTTP/1.1 101 S\r\n\r\n")
    scene.connection.pause_body()
    scene.connection.resume_body()
    scene.pass_time(1000)
    assert not scene.transport.aborted


def test_an_ordinary_answer_to_an_upgrade_ends_the_connection_and_reads_no_more():
    scene = Scene()
    scene.receive(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" + GET)
    say_ok(scene.connection)
    assert b"Connection: close" in scene.transport.take()
    assert scene.transport.half_closed
    assert len(scene.heads) == 1


def test_a_connection_may_be_taken_over_with_what_came_behind_the_head():
    scene = Scene()
    upgrades = []
    scene._answer = lambda client: upgrades.append(client.take_over())
    scene.receive(GET + b"early")
    assert upgrades[0].received == b"early"
    assert upgrades[0].transport is scene.transport
    assert scene.gone
    assert not scene.transport.reading


def test_drain_closes_an_idle_connection_and_tells_a_busy_one():
    idle, busy = Scene(), Scene()
    busy.receive(GET)
    for scene in (idle, busy):
        scene.connection.drain()
    assert idle.transport.closed
    assert busy.exchange.said == ["draining"]
    say_ok(busy.connection)
    assert b"Connection: close" in busy.transport.take()


def test_proof_is_passed_on():
    scene = Scene()
    scene.connection.authenticated()
    assert scene.proved


DIALOGUE = (
    GET
    + post(b"Content-Length: 5\r\n", b"hello")
    + post(b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n3\r\n\r\n\r\r\n0\r\n\r\n")
    + GET
)


class Echo(NullExchange):
    """Answers with the body it was sent, once it is whole."""

    def __init__(self, head: RequestHead, client: Client) -> None:
        self.client, self.body = client, b""
        if head.has_body:
            client.accept_body()
        else:
            self.body_ended()

    def body_received(self, data: bytes) -> None:
        self.body += data

    def body_ended(self) -> None:
        self.client.start(b"HTTP/1.1 200 OK\r\n", len(self.body))
        self.client.write(self.body)
        self.client.finish()


@given(st.lists(st.integers(0, len(DIALOGUE)), max_size=12))
def test_the_answers_do_not_depend_on_how_the_requests_arrive(cuts):
    scene = Scene()
    scene.route = Echo
    edges = [0, *sorted(cuts), len(DIALOGUE)]
    answers = scene.receive(*(DIALOGUE[start:end] for start, end in pairwise(edges) if start < end))
    assert answers.split(b"HTTP/1.1 200 OK\r\n") == [
        b"",
        b"Content-Length: 0\r\n\r\n",
        b"Content-Length: 5\r\n\r\nhello",
        b"Content-Length: 8\r\n\r\nhello\r\n\r",
        b"Content-Length: 0\r\n\r\n",
    ]


@given(
    st.lists(st.binary(min_size=1, max_size=200), max_size=5),
    st.sampled_from([b"", GET[:-2], post(b"Transfer-Encoding: chunked\r\n")]),
)
def test_whatever_a_client_sends_the_machine_stands(parts, start):
    scene = Scene()
    scene.route = Echo
    scene.receive(*([start] if start else []), *parts)
    scene.pass_time(100)
    scene.pass_time(100)
    assert scene.transport.closed or scene.transport.aborted or scene.transport.half_closed


def test_what_is_said_in_one_turn_is_written_once():
    scene = Scene(answer=say_ok)
    scene.patient = True
    assert scene.receive(GET + GET) == b""
    scene.connection.flush()
    assert scene.transport.take() == OK * 2


def test_what_was_said_is_not_lost_when_the_client_half_closes_in_the_same_turn():
    scene = Scene(answer=say_ok)
    scene.patient = True
    scene.receive(GET)
    assert scene.connection.eof_received() is False
    assert scene.transport.take() == OK
