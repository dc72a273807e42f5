from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest
import structlog

from kasbah.errors import PeerError
from kasbah.kas.kubernetes_api import grant
from kasbah.kas.kubernetes_api.kept_watch import HELD_IN_WINDOW, KeptWatch
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.wire import http1, request_policy
from kasbah.wire.stream import ResetCode, Stream, StreamClass, StreamHandler
from tests.doubles.loopback_agent import LoopbackAgent, LoopbackStream
from tests.doubles.people import access_of_mia
from tests.doubles.watch_events import json_bookmark, json_event, protobuf_event

GRANT = grant.issue("g", access_of_mia(), deadline_ms=1)
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
PROTOBUF = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.kubernetes.protobuf;stream=watch\r\n\r\n"
FROM_5 = b"/api/v1/pods?watch=1&resourceVersion=5"
LOST = (ResetCode.CONNECTION_LOST, "gone")


class Scene:
    """A watch between a client and an agent, and its keeper."""

    def __init__(self, target: bytes = FROM_5, head: bytes = JSON, **settings: float) -> None:
        self.settings = KubernetesApiSettings(**settings)
        self.held_bytes = 0
        self.now = 100.0
        self.agent = LoopbackAgent()
        self.kept: set[KeptWatch] = set()
        self.delays: list[float] = []
        self.reopened_count = 0
        self.too_large = False
        self.got = b""
        self.said: list[str] = []
        self.takes = True
        lines = b" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer pat:7:t\r\n\r\n"
        request = request_policy.prepare(http1.request_head(b"GET " + target + lines), 0)
        self.watch = KeptWatch(self, GRANT, request, self)
        assert self.watch.open_nowait()
        self.watch.end()
        if head:
            self.stream.say_head(head)

    @property
    def stream(self) -> LoopbackStream:
        return self.agent.streams[-1]

    @property
    def asked(self) -> bytes:
        """The target that the agent was sent last."""
        return self.stream.opening.split(b" ", 2)[1]

    def breaks(self) -> None:
        """The stream is lost and its turn comes."""
        self.stream.say_reset(*LOST)
        if self.watch in self.kept:
            assert self.watch.reopen_nowait()

    # As the keeper.

    def keep(self, watch: KeptWatch) -> None:
        self.kept.add(watch)

    def forget(self, watch: KeptWatch) -> None:
        self.kept.discard(watch)

    def reopen(self, watch: KeptWatch, delay_s: float) -> None:
        self.delays.append(delay_s)

    def reopened(self, watch: KeptWatch) -> None:
        self.reopened_count += 1

    def open_stream(self, granted: object, opening: bytes, handler: StreamHandler) -> Stream | None:
        if self.too_large:
            raise PeerError("the opening is too large")
        return self.agent.open_nowait(GRANT, opening, StreamClass.WATCH, handler)

    def chance(self) -> float:
        return 0.5

    # As the client.

    def opening(self, head: bytes) -> bytes:
        return head

    def head_received(self, head: bytes) -> None:
        self.said.append("head")

    def data_received(self, data: bytes) -> None:
        self.got += data
        if self.takes:
            self.watch.consumed(len(data))

    def ended(self) -> None:
        self.said.append("ended")

    def reset(self, code: int, message: str) -> None:
        self.said.append(f"reset {code}")

    def writable(self) -> None: ...

    @property
    def error(self) -> int:
        """The code of the last event, an ERROR; 0 when it is none."""
        event = json.loads(self.got.splitlines()[-1])
        return int(event["object"]["code"]) if event["type"] == "ERROR" else 0


def test_bookmarks_are_asked_for_and_taken_out_again():
    it = Scene()
    assert it.asked == FROM_5 + b"&allowWatchBookmarks=true"
    it.stream.say(json_bookmark(9))
    assert (it.got, it.stream.in_flight) == (b"", 0)


def test_who_asks_for_bookmarks_asks_as_before_and_gets_them():
    target = FROM_5 + b"&allowWatchBookmarks=true"
    it = Scene(target)
    it.stream.say(json_bookmark(9))
    assert (it.asked, it.got) == (target, json_bookmark(9))


def test_a_broken_watch_goes_on_behind_its_last_event_within_the_same_answer():
    it = Scene()
    first, second = json_event("ADDED", 6), json_event("MODIFIED", 7)
    it.stream.say(first + second[:20])
    it.breaks()
    assert it.asked == b"/api/v1/pods?watch=1&resourceVersion=6&allowWatchBookmarks=true"
    assert it.stream.request_ended
    it.stream.say_head(JSON)
    it.stream.say(second)
    assert (it.got, it.said, it.delays) == (first + second, ["head"], [0.0])


def test_an_answer_that_is_no_watch_passes_as_it_is():
    it = Scene(head=b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    it.stream.say(b"half a li")
    assert (it.got, it.stream.in_flight, it.kept) == (b"half a li", 0, set())
    it.stream.say_reset(*LOST)
    assert it.said == ["head", f"reset {LOST[0]:d}"]


def test_an_answer_that_ends_without_being_a_watch_ends():
    it = Scene(head=b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n\r\n")
    it.stream.say_end()
    assert it.said == ["head", "ended"]


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Encoding: gzip",
        b"Content-Type: application/json",
        b"Content-Length: -1",
        b"Content-Length: 70",
    ],
)
def test_what_is_compressed_or_ambiguous_is_not_followed(line: bytes):
    it = Scene(head=JSON[:-2] + line + b"\r\n\r\n")
    assert it.kept == set()


def test_an_end_by_the_api_server_is_an_end():
    it = Scene()
    it.stream.say_end()
    assert (it.said, it.kept) == (["head", "ended"], set())


def test_an_end_in_the_middle_of_an_event_is_a_break():
    it = Scene()
    it.stream.say(json_event("ADDED", 6) + b'{"type":')
    it.stream.say_end()
    assert (it.said, it.delays) == (["head"], [0.0])


def test_an_answer_that_was_no_watch_after_all_passes_whole():
    it = Scene()
    it.stream.say(b'{"kind":"Pod"}')
    it.stream.say_end()
    assert (it.got, it.said, it.kept) == (b'{"kind":"Pod"}', ["head", "ended"], set())


def test_a_watch_whose_state_is_not_told_whole_ends_with_410():
    it = Scene(b"/api/v1/pods?watch=1")
    it.stream.say(json_event("ADDED", 9))
    it.breaks()
    assert (it.error, it.said, it.kept) == (410, ["head", "ended"], set())


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_to_go_on_is_the_last_event(status: int):
    it = Scene()
    it.breaks()
    it.stream.say_head(b"HTTP/1.1 %d No\r\n\r\n" % status)
    assert (it.error, it.said, it.kept) == (status, ["head", "ended"], set())
    assert it.stream.reset_with is not None


def test_an_answer_in_another_encoding_cannot_go_on():
    it = Scene()
    it.breaks()
    it.stream.say_head(PROTOBUF)
    assert it.error == 410


def test_an_error_of_the_api_server_is_passed_on_and_the_last():
    it = Scene()
    it.breaks()
    it.stream.say_head(JSON)
    it.stream.say(b'{"type":"ERROR","object":{"kind":"Status","code":410}}\n')
    it.breaks()
    assert (it.error, it.said) == (410, ["head", "ended"])


def test_protobuf_is_told_in_protobuf():
    it = Scene(head=PROTOBUF)
    it.stream.say(protobuf_event("ADDED", 8))
    it.breaks()
    it.stream.say_head(b"HTTP/1.1 410 Gone\r\n\r\n")
    assert b"ERROR" in it.got
    assert b"Expired" in it.got


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\n\r\n",
        b"HTTP/1.1 503 Away\r\nRetry-After: soon\r\n\r\n",
        b"no head",
    ],
)
def test_who_cannot_answer_now_is_asked_again_later_and_later(head: bytes):
    it = Scene()
    it.breaks()
    it.stream.say_head(head)
    assert it.delays[1] == (7 if b" 429 " in head else 0.25 * 1.25)
    assert it.watch.reopen_nowait()
    it.stream.say_reset(*LOST)
    assert it.watch.reopen_nowait()
    it.stream.say_end()
    assert it.watch.reopen_nowait()
    it.stream.say(b"a body without a head")
    assert it.delays[2:] == [0.5 * 1.25, 1.25, 2.5]
    assert (it.got, it.said) == (b"", ["head"])


def test_a_stream_that_breaks_at_once_again_and_again_is_not_opened_in_a_storm():
    it = Scene()
    it.breaks()
    it.stream.say_head(b"HTTP/1.1 503 Away\r\n\r\n")
    it.watch.reopen_nowait()
    it.stream.say_head(JSON)
    it.breaks()
    assert it.delays[2] > 0
    it.stream.say_head(JSON)
    it.stream.say(json_event("ADDED", 9))
    it.breaks()
    assert it.delays[3] == 0


def test_what_stays_away_too_long_ends_with_an_error():
    for sent, code in ((False, 503), (True, 504)):
        it = Scene(watch_outage_s=10)
        it.stream.say_reset(*LOST)
        if sent:
            it.watch.reopen_nowait()
            it.watch.unanswered()
        it.now += 9
        it.watch.expire()
        assert it.said == ["head"]
        it.now += 2
        it.watch.expire()
        assert (it.error, it.said) == (code, ["head", "ended"])


def test_the_clients_time_goes_on_while_the_watch_is_broken():
    it = Scene(FROM_5 + b"&timeoutSeconds=60")
    assert b"timeoutSeconds=60" in it.asked
    it.now += 20.5
    it.breaks()
    assert it.asked.endswith(b"&timeoutSeconds=40")
    it.stream.say_reset(*LOST)
    it.now += 50
    it.watch.expire()
    assert (it.said, it.got) == (["head", "ended"], b"")


def test_a_watch_whose_time_is_over_is_not_sent_again():
    it = Scene(FROM_5 + b"&timeoutSeconds=60")
    it.now += 61
    it.breaks()
    assert (it.said, len(it.agent.streams)) == (["head", "ended"], 1)


def test_no_tunnel_means_later():
    it = Scene()
    it.agent.connected = False
    it.stream.say_reset(*LOST)
    assert not it.watch.reopen_nowait()


def test_a_target_too_large_to_be_sent_again_ends_the_watch():
    it = Scene()
    it.too_large = True
    it.breaks()
    assert it.error == 410


def test_the_window_opens_for_what_the_client_took():
    it = Scene()
    it.takes = False
    event = json_event("ADDED", 6)
    it.stream.say(event)
    assert it.stream.in_flight == len(event)
    it.watch.consumed(len(event))
    assert it.stream.in_flight == 0


def test_a_client_that_takes_nothing_gets_no_window_by_another_break():
    it = Scene()
    it.takes = False
    event = json_event("ADDED", 6)
    it.stream.say(event)
    it.breaks()
    assert (len(it.agent.streams), it.delays) == (1, [0.0, math.inf])
    it.watch.consumed(len(event) - 3)
    assert it.delays == [0.0, math.inf]
    it.watch.consumed(3)
    assert it.delays == [0.0, math.inf, 0.0]
    assert it.watch.reopen_nowait()
    it.stream.say_head(JSON)
    it.stream.say(event)
    assert (len(it.agent.streams), it.stream.in_flight) == (2, len(event))


def test_a_client_that_takes_nothing_for_too_long_has_to_list_again():
    it = Scene(watch_outage_s=10)
    it.takes = False
    it.stream.say(json_event("ADDED", 6))
    it.breaks()
    it.now += 11
    it.watch.expire()
    it.watch.expire()
    assert (it.error, it.said) == (410, ["head", "ended"])


def crash(*_: object) -> None:
    raise AssertionError("a bug")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("answered", lambda it: it.stream.say_head(JSON)),
        ("received", lambda it: it.stream.say(json_event("ADDED", 6))),
        ("ended", lambda it: it.stream.say_end()),
        ("lost", lambda it: it.stream.say_reset(*LOST)),
        ("_reopen", lambda it: it.watch.reopen_nowait()),
        ("_try_again", lambda it: it.watch.unanswered()),
        ("_drop_stream", lambda it: it.watch.stalled()),
    ],
)
def test_a_bug_in_one_watch_ends_that_one(
    name: str, call: Callable[[Scene], object], monkeypatch: pytest.MonkeyPatch
):
    it = Scene()
    monkeypatch.setattr(KeptWatch, name, crash)
    with structlog.testing.capture_logs() as logs:
        call(it)
    assert it.stream.reset_with == (ResetCode.INTERNAL, "")
    assert (it.said, it.kept) == (["head", f"reset {ResetCode.INTERNAL:d}"], set())
    assert logs[0]["event"] == "a watch crashed"


def test_an_object_nested_too_deep_passes_and_a_break_behind_it_ends_the_watch():
    it = Scene()
    deep = json_event("MODIFIED", 6).replace(b'""', b"[" * 10_000 + b"]" * 10_000)
    it.stream.say(deep)
    assert it.got == deep
    it.stream.say_reset(*LOST)
    assert (it.error, it.said) == (410, ["head", "ended"])


def test_an_event_larger_than_the_window_is_paid_for_in_advance_and_accounted():
    it = Scene()
    event = json_event("ADDED", 6, "x" * 3_000_000)
    for at in range(0, len(event) - 100, 60_000):
        assert it.stream.say(event[at : min(at + 60_000, len(event) - 100)])
        assert it.stream.in_flight <= HELD_IN_WINDOW
    assert it.held_bytes == len(event) - 100 - HELD_IN_WINDOW
    it.stream.say(event[-100:])
    assert (it.got, it.held_bytes, it.stream.in_flight) == (event, 0, 0)


def test_who_is_too_large_passes_and_tears_when_it_breaks():
    it = Scene(max_watch_event_bytes=1000)
    it.stream.say(json_event("ADDED", 6, "x" * 3000)[:2000])
    assert len(it.got) == 2000
    it.breaks()
    assert it.said == ["head", f"reset {LOST[0]:d}"]


def test_when_all_hold_too_much_large_events_pass():
    it = Scene(max_held_watch_bytes=10)
    it.held_bytes = 10
    it.stream.say(b"{" + b" " * HELD_IN_WINDOW)
    assert len(it.got) == HELD_IN_WINDOW + 1


def test_a_client_that_leaves_takes_everything_along():
    it = Scene()
    it.stream.say(b"x" * (HELD_IN_WINDOW + 9))
    assert it.held_bytes == 9
    it.watch.reset(ResetCode.CANCELLED, "gone")
    assert it.stream.reset_with == (ResetCode.CANCELLED, "gone")
    assert (it.held_bytes, it.kept) == (0, set())


def test_a_client_that_leaves_at_an_event_hears_no_more():
    it = Scene()
    it.data_received = lambda _data: it.watch.reset(ResetCode.CANCELLED)  # type: ignore[method-assign]
    it.stream.say(json_event("ADDED", 6) + b"half")
    assert (it.held_bytes, it.kept) == (0, set())


def test_silence_where_bookmarks_are_due_is_a_stall():
    it = Scene(watch_stall_s=10)
    it.now += 11
    assert not it.watch.is_stalled  # nobody knows that this server sends any
    it.stream.say(json_bookmark(8))
    it.now += 9
    assert not it.watch.is_stalled
    it.now += 2
    assert it.watch.is_stalled
    it.watch.stalled()
    assert it.stream.reset_with is not None
    assert it.delays == [0.0]
    assert not it.watch.is_stalled


def test_a_client_that_does_not_read_is_no_stall():
    it = Scene(watch_stall_s=10)
    it.takes = False
    it.stream.say(json_bookmark(8) + json_event("ADDED", 9))
    it.now += 11
    assert not it.watch.is_stalled


def test_to_the_exchange_it_is_a_stream():
    it = Scene(head=b"")
    assert it.watch.stream_id == it.stream.stream_id
    it.watch.send_head(b"")
    assert it.watch.send(b"x")
    assert it.stream.body == b""
    it.stream.handler.writable()
    it.stream.say_reset(*LOST)
    assert (it.said, it.watch.stream_id) == ([f"reset {LOST[0]:d}"], 0)
    it.watch.consumed(5)
    it.watch.end()
    it.watch.reset(ResetCode.CANCELLED)
