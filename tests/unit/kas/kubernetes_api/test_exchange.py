from __future__ import annotations

from collections.abc import Callable, Coroutine

import pytest
import structlog

from kasbah.errors import PeerError
from kasbah.kas.http_server.clock import CoarseClock
from kasbah.kas.kubernetes_api import grant as grants
from kasbah.kas.kubernetes_api.answers import REFUSAL_S
from kasbah.kas.kubernetes_api.directory import AccessDeniedError
from kasbah.kas.kubernetes_api.exchange import ProxyExchange
from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.kas.kubernetes_api.limits import Underway
from kasbah.kas.kubernetes_api.record import Journal, JournalUnavailableError, NoJournal, RequestRecord
from kasbah.kas.kubernetes_api.refusals import MAX_REFUSAL_BYTES, NoExplainer
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kas.kubernetes_api.tap import NoRecorder, Tap
from kasbah.kas.kubernetes_api.watches import WatchOpener
from kasbah.kas.usage_metrics.counters import UsageCounters
from kasbah.wire import http1, request_policy
from kasbah.wire.identity import AsUser
from kasbah.wire.kubernetes_api import split_stamp
from kasbah.wire.stream import ResetCode, StreamClass
from tests.doubles.loopback_agent import LoopbackAgent, LoopbackStream
from tests.doubles.people import access_of_mia
from tests.doubles.recording_exchange import RecordingClient
from tests.doubles.watch_events import json_event

GRANT = grants.issue("g", access_of_mia(), deadline_ms=1)
OK = b"HTTP/1.1 200 OK\r\n\r\n"
WATCH = b"GET /api/v1/pods?watch=1"
EXEC = b"GET /api/v1/namespaces/a/pods/b/exec"
SPDY = (b"Connection: Upgrade", b"Upgrade: SPDY/3.1")


class Leases:
    def __init__(self) -> None:
        self.held: list[object] = []

    def hold(self, credential: object, granted: Grant, stream: object) -> None:
        self.held.append(stream)

    def release(self, granted: Grant, stream: object) -> None:
        self.held.remove(stream)


class Decided:
    """An authoriser that has decided already."""

    def __init__(self, decision: object) -> None:
        self.decision = decision

    def find(self, credential: object) -> object:
        return self.decision

    async def authorize(self, credential: object) -> Grant:
        raise AccessDeniedError("asked")


class Scene:
    """One exchange, its client and its agent; begun."""

    def __init__(
        self,
        line: bytes = b"GET /version",
        *lines: bytes,
        decision: object = GRANT,
        prepare: Callable[[LoopbackAgent], None] = lambda _agent: None,
        journal: Journal | None = None,
        explainer: NoExplainer | None = None,
        recorder: NoRecorder | None = None,
        **settings: float,
    ) -> None:
        self.settings = KubernetesApiSettings(**settings)
        self.authorizer = Decided(decision)
        self.leases = Leases()
        self.underway = Underway(self.settings)
        self.tunnels = LoopbackAgent()
        self.watches = WatchOpener(self.tunnels, self.settings, CoarseClock(0.0, 0.0))
        self.journal = journal or NoJournal()
        self.explainer = explainer or NoExplainer()
        self.recorder = recorder or NoRecorder()
        self.usage = UsageCounters()
        self.seeking: set[ProxyExchange] = set()
        self.spawned: list[Coroutine[object, object, None]] = []
        self.client = RecordingClient()
        prepare(self.tunnels)
        head = line + b" HTTP/1.1\r\n" + b"\r\n".join((b"Host: a", b"Authorization: Bearer pat:7:t", *lines))
        parsed = http1.request_head(head + b"\r\n\r\n")
        self.exchange = ProxyExchange(self, parsed, self.client, request_policy.prepare(parsed, 0))
        self.exchange.begin(b"")

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        self.spawned.append(work)

    async def work(self) -> None:
        """Do what was spawned."""
        while self.spawned:
            await self.spawned.pop(0)

    @property
    def stream(self) -> LoopbackStream:
        return self.tunnels.streams[-1]


def test_what_may_pass_is_counted_and_nothing_else():
    counted = Scene().usage.take()
    assert counted is not None
    assert counted.counters["k8s_api_proxy_request"] == 1
    assert Scene(decision=AccessDeniedError("no")).usage.take() is None


def test_a_request_is_answered_and_leaves_nothing_behind():
    it = Scene()
    assert it.stream.request_ended
    assert it.stream.stream_class is StreamClass.SMALL
    it.stream.answer(b"hello")
    assert (it.client.status, it.client.content_length, it.client.body) == (200, 5, b"hello")
    assert it.client.said == ["authenticated", "start", "finish"]
    assert it.underway.total == 0
    assert it.stream.in_flight == 0


def test_bytes_count_as_consumed_when_the_client_takes_them():
    it = Scene(WATCH)
    it.client.writable = False
    it.stream.say_head(OK)
    it.stream.say(b"12345")
    assert it.stream.in_flight == 5
    it.exchange.client_writable()
    assert it.stream.in_flight == 0


def test_a_full_stream_pauses_the_client():
    it = Scene(b"POST /api/v1/pods", b"Content-Length: 9")
    it.stream.full = True
    it.exchange.body_received(b"x")
    it.exchange.writable()
    assert it.client.said == ["authenticated", "accept body", "pause body", "resume body"]


def test_a_body_ends_with_its_stream():
    it = Scene(b"POST /api/v1/pods", b"Content-Length: 1")
    assert not it.stream.request_ended
    it.exchange.body_received(b"x")
    it.exchange.body_ended()
    assert (it.stream.body, it.stream.request_ended) == (b"x", True)


def test_an_upload_the_cluster_does_not_wait_for_is_cancelled():
    it = Scene(b"POST /api/v1/pods", b"Content-Length: 9")
    it.stream.answer(status=b"409 Conflict")
    assert it.stream.reset_with is not None
    it.exchange.body_received(b"late")
    it.exchange.body_ended()
    assert it.stream.body == b""


def test_a_body_over_the_limit_is_refused():
    it = Scene(b"POST /api/v1/pods", b"Transfer-Encoding: chunked", max_body_bytes=3)
    it.exchange.body_received(b"1234")
    assert it.client.status == 413
    assert it.stream.reset_with is not None


def test_a_body_announced_over_the_limit_is_refused_before_it_is_sent():
    it = Scene(b"POST /api/v1/pods", b"Content-Length: 6", max_body_bytes=5)
    assert it.client.status == 413
    assert it.tunnels.streams == []
    assert it.underway.total == 0


def test_a_denial_needs_no_agent():
    it = Scene(decision=AccessDeniedError("no"))
    assert it.client.status == 401
    assert b"Gitlab-Unauthorized: true" in it.client.lines
    assert it.tunnels.streams == []


@pytest.mark.asyncio
async def test_an_undecided_credential_is_asked_for():
    it = Scene(decision=None)
    await it.work()
    assert it.client.status == 401


@pytest.mark.asyncio
async def test_a_client_that_leaves_while_its_credential_is_asked_for_opens_nothing():
    it = Scene(decision=None)
    it.exchange.client_gone()
    await it.work()
    assert it.client.said == []


def away(agent: LoopbackAgent) -> None:
    agent.connected = False


def test_an_agent_that_left_just_now_is_expected_back():
    it = Scene(prepare=away, agent_wait_s=5, outage_s=30)
    it.tunnels.gone_s = 29
    it.exchange.deadline_passed()
    assert (it.client.status, b"Retry-After: 1\r\n" in it.client.lines) == (503, True)


def test_what_may_be_repeated_and_is_lost_again_is_left_to_the_client():
    it = Scene()
    for _ in range(2):
        it.stream.say_reset(ResetCode.CONNECTION_LOST)
    assert (it.client.status, b"Retry-After: 1\r\n" in it.client.lines) == (503, True)


def test_a_watch_goes_on_within_its_answer():
    it = Scene(WATCH + b"&resourceVersion=5")
    it.stream.say_head(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    it.stream.say(json_event("ADDED", 6))
    it.stream.say_reset(ResetCode.CONNECTION_LOST)
    assert b"resourceVersion=6" in it.stream.request_head
    assert split_stamp(it.stream.opening)[1] == split_stamp(it.tunnels.streams[0].opening)[1]
    it.stream.say_head(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    it.stream.say(json_event("ADDED", 7))
    assert it.client.body == json_event("ADDED", 6) + json_event("ADDED", 7)
    it.exchange.draining()
    assert it.client.said == ["authenticated", "start", "finish"]


def test_an_agent_that_is_away_is_waited_for():
    it = Scene(prepare=away, agent_wait_s=5)
    assert (it.client.status, it.client.deadline_s) == (0, 5)
    it.exchange.deadline_passed()
    assert it.client.status == 502
    assert b"Agent connection not found" in it.client.body
    assert it.tunnels.waiting == []


def test_an_agent_that_is_there_and_busy_is_told_apart():
    it = Scene(prepare=away)
    it.tunnels.busy = True
    it.exchange.deadline_passed()
    assert it.client.status == 503
    assert b"all tunnels of the agent are busy" in it.client.body
    assert b"Retry-After: 1\r\n" in it.client.lines


@pytest.mark.parametrize(("line", "deadline_s"), [(b"GET /version", 91), (WATCH, float("inf"))])
def test_an_agent_that_comes_gets_the_request(line, deadline_s):
    it = Scene(line, prepare=away)
    it.tunnels.connect()
    assert it.client.deadline_s == deadline_s
    it.stream.answer()
    assert it.client.status == 200


def test_who_was_asked_in_vain_has_no_new_time():
    it = Scene(prepare=away, agent_wait_s=5)
    it.client.deadline_s = 1
    it.exchange.tunnel_ready()
    assert (len(it.tunnels.waiting), it.client.deadline_s) == (2, 1)
    it.exchange.deadline_passed()
    assert it.client.status == 502


def test_a_client_that_leaves_while_its_agent_is_waited_for_opens_nothing():
    it = Scene(prepare=away)
    it.exchange.client_gone()
    assert it.tunnels.waiting == []
    it.tunnels.connected = True
    it.exchange.tunnel_ready()
    assert it.tunnels.streams == []
    assert it.underway.total == 0


def test_a_head_that_fits_no_frame_is_431():
    def refuse(agent: LoopbackAgent) -> None:
        def open_nowait(*_: object) -> None:
            raise PeerError("too large")

        agent.open_nowait = open_nowait

    assert Scene(prepare=refuse).client.status == 431


def test_one_request_too_many_is_429():
    it = Scene(max_requests_per_principal=0)
    assert it.client.status == 429
    assert it.underway.total == 0


def test_the_answers_head_has_a_deadline_and_its_body_has_none():
    it = Scene(head_timeout_s=90)
    assert it.client.deadline_s == 91
    it.stream.say_head(OK)
    assert it.client.deadline_s == float("inf")
    assert Scene(WATCH).client.deadline_s == 0
    assert Scene(EXEC, *SPDY).client.deadline_s == 91


def test_a_deadline_that_passes_is_504():
    it = Scene()
    it.exchange.deadline_passed()
    assert it.client.status == 504
    assert it.stream.reset_with is not None


def test_a_second_head_changes_nothing():
    it = Scene()
    it.stream.say_head(OK)
    it.stream.say_head(b"HTTP/1.1 500 X\r\n\r\n")
    assert it.client.status == 200


def test_a_body_before_its_head_is_502():
    it = Scene()
    it.stream.say(b"hello")
    assert it.client.status == 502
    assert it.stream.reset_with is not None


def test_an_end_without_an_answer_is_502():
    it = Scene()
    it.stream.say_end()
    assert it.client.status == 502


def test_a_redirect_becomes_a_502_and_cancels():
    it = Scene()
    it.stream.say_head(b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n")
    assert it.client.status == 502
    assert it.stream.reset_with is not None


@pytest.mark.parametrize(
    ("line", "lines", "code", "retried"),
    [
        (b"GET /version", (), ResetCode.CONNECTION_LOST, True),
        (b"GET /version", (), ResetCode.CANCELLED, True),
        (b"GET /version", (), ResetCode.UPSTREAM_UNREACHABLE, False),
        (b"DELETE /api/v1/pods", (), ResetCode.REFUSED, True),
        (b"DELETE /api/v1/pods", (), ResetCode.CONNECTION_LOST, False),
        (b"POST /api/v1/pods", (b"Content-Length: 1",), ResetCode.REFUSED, False),
    ],
)
def test_what_was_not_done_or_may_be_done_twice_is_tried_once_more(line, lines, code, retried):
    it = Scene(line, *lines)
    it.stream.say_reset(code)
    assert len(it.tunnels.streams) == 1 + retried
    it.stream.say_reset(code)
    assert it.client.status in {502, 503}


def test_a_reset_within_the_answer_breaks_it_off():
    it = Scene()
    it.stream.say_head(OK)
    it.stream.say_reset(ResetCode.UPSTREAM_FAILED)
    assert it.client.said[-1] == "abort"
    assert it.underway.total == 0


def test_a_failure_within_the_answer_breaks_it_off():
    it = Scene(b"POST /api/v1/pods", b"Transfer-Encoding: chunked", max_body_bytes=3)
    it.stream.say_head(OK)
    it.exchange.body_received(b"1234")
    assert it.client.said[-1] == "abort"


def test_after_the_end_nothing_is_said():
    it = Scene()
    it.exchange.client_gone()
    it.exchange.client_gone()
    it.stream.answer()
    it.stream.say_reset(ResetCode.CANCELLED)
    it.exchange.writable()
    it.exchange.client_writable()
    assert it.client.said == ["authenticated"]


@pytest.mark.asyncio
async def test_a_bug_in_one_request_breaks_that_one_off():
    class Broken(Decided):
        async def authorize(self, credential: object) -> Grant:
            raise AssertionError("a bug")

    it = Scene(decision=None)
    it.authorizer = Broken(None)
    with structlog.testing.capture_logs() as logs:
        await it.work()
    assert it.client.said == ["abort"]
    assert logs[0]["event"] == "a proxied request crashed"


def crash(*_: object, **__: object) -> None:
    raise AssertionError("a bug")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("_answer", lambda it: it.stream.say_head(OK)),
        ("_fail", lambda it: it.stream.say(b"a body before its head")),
        ("_fail", lambda it: it.stream.say_end()),
        ("_fail", lambda it: it.stream.say_reset(ResetCode.UPSTREAM_FAILED)),
        ("_fail", lambda it: it.exchange.deadline_passed()),
        ("_open", lambda it: it.exchange.tunnel_ready()),
    ],
    ids=["head", "data", "end", "reset", "deadline", "tunnel"],
)
def test_a_bug_in_one_request_breaks_that_one_off_and_not_who_calls_it(
    name: str, call: Callable[[Scene], object], monkeypatch: pytest.MonkeyPatch
):
    it = Scene()
    monkeypatch.setattr(ProxyExchange, name, crash)
    with structlog.testing.capture_logs() as logs:
        call(it)
    assert (it.client.said[-1], it.underway.total) == ("abort", 0)
    assert logs[0]["event"] == "a proxied request crashed"


def test_a_bug_beside_a_request_breaks_it_off():
    stream = Scene(b"POST /api/v1/pods", b"Content-Length: 9")
    stream.client.resume_body = crash  # type: ignore[method-assign]
    stream.stream.handler.writable()
    client = Scene(WATCH)
    client.client.writable = False
    client.stream.say_head(OK)
    client.stream.say(b"12345")
    client.stream.consumed = crash  # type: ignore[method-assign]
    client.exchange.client_writable()
    begun = Scene(prepare=lambda agent: setattr(agent, "open_nowait", crash))
    explained = Scene(explainer=BrokenExplainer())
    explained.stream.answer(b"no", status=b"403 Forbidden")
    held, journal = recorded(b"DELETE /api/v1/namespaces/a/pods/b")
    held.stream.answer(b"gone")
    held.client.start = crash  # type: ignore[method-assign]
    assert journal.holder is not None
    journal.holder.record_durable()
    for it in (stream, client, begun, explained, held):
        assert (it.client.said[-1], it.underway.total) == ("abort", 0)


def test_an_open_ended_request_holds_a_lease_while_it_runs():
    it = Scene(WATCH)
    assert it.leases.held == [it.exchange]
    assert it.stream.stream_class is StreamClass.WATCH
    it.stream.say_head(OK)
    it.stream.say_end()
    assert it.leases.held == []


def test_an_answer_whose_end_nobody_knows_holds_a_lease_too():
    it = Scene(b"GET /apis/example.com/v1/events")
    assert it.leases.held == []
    it.stream.say_head(OK)
    assert it.leases.held == [it.exchange]
    it.exchange.client_gone()
    assert it.leases.held == []


def test_an_answer_that_says_its_length_needs_a_lease_only_when_it_takes_its_time():
    it = Scene(grant_ttl_s=5)
    it.stream.say_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    assert (it.leases.held, it.client.deadline_s) == ([], 5)
    it.exchange.deadline_passed()
    it.exchange.deadline_passed()
    assert it.leases.held == [it.exchange]
    it.stream.say(b"hello")
    it.stream.say_end()
    assert (it.client.body, it.client.said[-1], it.leases.held) == (b"hello", "finish", [])


def test_a_403_whose_end_nobody_knows_holds_a_lease_and_is_not_collected_for_ever():
    it = Scene(explainer=Explainer())
    it.stream.say_head(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    assert (it.leases.held, it.client.deadline_s) == ([it.exchange], REFUSAL_S)
    it.stream.say(b"no")
    assert it.client.status == 0
    it.exchange.deadline_passed()
    assert (it.client.status, it.client.body, it.client.deadline_s) == (403, b"no", float("inf"))
    it.stream.say(b", and no")
    it.stream.say_end()
    assert (it.client.body, it.client.said[-1], it.leases.held) == (b"no, and no", "finish", [])


def test_a_403_that_drips_holds_a_lease_too():
    it = Scene(grant_ttl_s=5)
    it.stream.say_head(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000000\r\n\r\n")
    it.exchange.deadline_passed()
    assert (it.client.content_length, it.client.deadline_s, it.leases.held) == (1_000_000, 5, [])
    it.exchange.deadline_passed()
    assert it.leases.held == [it.exchange]


def test_a_lease_that_ends_takes_both_sides_along():
    it = Scene(WATCH)
    it.exchange.lease_ended()
    assert it.client.said[-1] == "abort"
    assert it.stream.reset_with == (ResetCode.CANCELLED, "not allowed any more")


def test_draining_ends_a_watch_well_and_lets_the_rest_be():
    watch, waiting, ordinary = Scene(WATCH), Scene(WATCH), Scene()
    for it in (watch, ordinary):
        it.stream.say_head(OK)
    for it in (watch, waiting, ordinary):
        it.exchange.draining()
    assert watch.client.said[-1] == "finish"
    assert waiting.client.status == 503
    assert ordinary.client.said[-1] == "start"


def test_draining_lets_the_client_hear_what_the_cluster_has_answered():
    it, journal = recorded(EXEC, *SPDY)
    it.stream.say_head(b"HTTP/1.1 101 Switching\r\nUpgrade: SPDY/3.1\r\n\r\n")
    it.exchange.draining()
    assert journal.holder is not None
    journal.holder.record_durable()
    assert it.client.switched
    refused = Scene(WATCH)
    refused.stream.say_head(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n")
    refused.exchange.draining()
    refused.stream.say(b"no")
    refused.stream.say_end()
    assert (refused.client.status, refused.client.body, refused.client.said[-1]) == (403, b"no", "finish")


def test_a_switch_passes_bytes_both_ways_without_a_limit():
    it = Scene(EXEC, *SPDY, max_body_bytes=1)
    assert it.stream.stream_class is StreamClass.KEYSTROKE
    assert not it.stream.request_ended
    it.stream.say_head(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    assert it.client.switched.endswith(b"Upgrade: SPDY/3.1\r\n\r\n")
    it.exchange.body_received(b"up")
    it.stream.say(b"down")
    it.exchange.draining()
    assert (it.stream.body, it.client.body) == (b"up", b"down")
    it.stream.say_end()
    assert it.client.said[-1] == "finish"


def test_a_declined_switch_is_an_ordinary_answer_and_ends_our_half():
    it = Scene(EXEC, *SPDY)
    it.stream.say_head(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n")
    assert it.stream.request_ended
    it.stream.say(b"no")
    it.stream.say_end()
    assert (it.client.status, it.client.body) == (403, b"no")


class SlowJournal(NoJournal):
    """Durable when the test says so."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.holder: ProxyExchange | None = None

    def begun(self, record: RequestRecord) -> None:
        self.said.append(f"begun {record.request.target.verb}")

    def answered(self, record: RequestRecord, then: ProxyExchange) -> bool:  # type: ignore[override]
        self.said.append(f"answered {record.status}")
        self.holder = then
        return False

    def ended(self, record: RequestRecord) -> None:
        self.said.append(f"ended {record.outcome} {record.received} {record.sent}")


def recorded(line: bytes, *lines: bytes) -> tuple[Scene, SlowJournal]:
    journal = SlowJournal()
    return Scene(line, *lines, journal=journal), journal


def test_the_answer_to_a_write_waits_for_its_record():
    it, journal = recorded(b"DELETE /api/v1/namespaces/a/pods/b")
    assert journal.said == ["begun delete"]
    it.stream.answer(b"gone")
    assert (it.client.status, journal.said[1:]) == (0, ["answered 200"])
    assert journal.holder is not None
    journal.holder.record_durable()
    assert (it.client.status, it.client.body, it.client.said[-1]) == (200, b"gone", "finish")
    assert journal.said[2:] == ["ended completed 0 4"]


def test_so_does_a_switch_and_what_comes_behind_it():
    it, journal = recorded(EXEC, *SPDY)
    it.stream.say_head(b"HTTP/1.1 101 Switching\r\nUpgrade: SPDY/3.1\r\n\r\n")
    it.stream.say(b"hello")
    assert not it.client.switched
    assert journal.holder is not None
    journal.holder.record_durable()
    assert it.client.switched
    assert it.client.body == b"hello"


class Recorder(NoRecorder):
    """Hears everything, and is its own tap."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def tap(self, record: RequestRecord, head: bytes) -> Tap | None:
        self.heard.append(head.partition(b"\r\n")[0])
        return self

    def from_client(self, data: bytes) -> None:
        self.heard.append(("client", data))

    def from_cluster(self, data: bytes) -> None:
        self.heard.append(("cluster", data))

    def ended(self) -> None:
        self.heard.append("ended")


def test_a_recorder_hears_what_passed_through_an_upgraded_connection():
    recorder = Recorder()
    it = Scene(EXEC, *SPDY, recorder=recorder)
    it.stream.say_head(b"HTTP/1.1 101 Switching\r\nUpgrade: SPDY/3.1\r\n\r\n")
    it.exchange.body_received(b"hi")
    it.stream.say(b"hello")
    it.exchange.client_gone()
    assert recorder.heard == [
        b"HTTP/1.1 101 Switching Protocols",
        ("client", b"hi"),
        ("cluster", b"hello"),
        "ended",
    ]


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (SPDY, b"Upgrade: SPDY/3.1\r\n"),
        (
            (
                b"Connection: Upgrade",
                b"Upgrade: websocket",
                b"Sec-WebSocket-Version: 13",
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ),
            b"Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        ),
    ],
)
def test_a_recorder_hears_what_a_client_says_before_it_is_answered(lines: tuple[bytes, ...], answer: bytes):
    recorder = Recorder()
    it = Scene(EXEC, *lines, recorder=recorder)
    it.client.held = lambda: it.exchange.body_received(b"early")
    it.stream.say_head(b"HTTP/1.1 101 Switching\r\n%b\r\n" % answer)
    assert (it.stream.body, recorder.heard[1:]) == (b"early", [("client", b"early")])


def test_a_recorder_hears_nothing_of_other_answers():
    recorder = Recorder()
    it = Scene(EXEC, *SPDY, recorder=recorder)
    it.stream.answer(b"no")
    assert recorder.heard == []


def test_a_client_that_leaves_while_the_record_is_written_gets_nothing():
    it, journal = recorded(b"DELETE /api/v1/namespaces/a/pods/b")
    it.stream.answer(b"gone")
    it.exchange.client_gone()
    assert journal.holder is not None
    journal.holder.record_durable()
    assert (it.client.status, journal.said[2:]) == (0, ["ended cancelled 0 0"])


def test_what_cannot_be_recorded_is_not_sent():
    class Full(NoJournal):
        def begun(self, record: RequestRecord) -> None:
            raise JournalUnavailableError("no space left")

    it = Scene(b"DELETE /api/v1/namespaces/a/pods/b", journal=Full())
    assert (it.client.status, it.tunnels.streams) == (503, [])


def test_a_read_is_written_down_once():
    it, journal = recorded(b"GET /version")
    it.stream.answer(b"hello")
    assert journal.said == ["ended completed 0 5"]


class Explainer(NoExplainer):
    def explain(self, grant: Grant, request: object, content_type: bytes, body: bytes) -> bytes | None:
        return b"%b: %b, because" % (content_type, body) if body == b"no" else None


class BrokenExplainer(NoExplainer):
    def explain(self, grant: Grant, request: object, content_type: bytes, body: bytes) -> bytes | None:
        raise AssertionError("a bug")


@pytest.mark.parametrize(("body", "told"), [(b"no", b"application/json: no, because"), (b"hm", b"hm")])
def test_a_403_of_the_cluster_is_explained(body, told):
    it = Scene(explainer=Explainer())
    it.stream.answer(body, status=b"403 Forbidden")
    assert (it.client.status, it.client.content_length, it.client.body) == (403, len(told), told)


def test_a_403_that_is_no_status_passes_as_it_came():
    it = Scene(explainer=Explainer())
    body = b"x" * (MAX_REFUSAL_BYTES + 10)
    it.stream.answer(body, status=b"403 Forbidden")
    assert (it.client.content_length, it.client.body) == (len(body), body)


def test_the_client_may_be_somebody_else_where_nobody_is_impersonated():
    it = Scene(b"GET /version", b"Impersonate-User: alice")
    assert it.stream.envelope.identity == AsUser(username="alice")
    mia = grants.issue("g", access_of_mia(AsUser(username="mia")), deadline_ms=1)
    refused = Scene(b"GET /version", b"Impersonate-User: alice", decision=mia)
    assert (refused.client.status, refused.underway.total) == (400, 0)


def test_a_request_carries_its_name_and_its_trace():
    it = Scene(b"GET /version", b"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    plain, stamp = split_stamp(it.stream.opening)
    assert stamp.startswith(b"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-")
    assert plain.endswith(b"Via: 1.1 kasbah-kas\r\n\r\n")


def head_of(line: bytes, *lines: bytes) -> http1.RequestHead:
    return http1.request_head(b"\r\n".join((line + b" HTTP/1.1", b"Host: a", *lines)) + b"\r\n\r\n")


def test_a_refusal_names_the_trace_that_the_audit_log_has():
    trace = b"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    it = Scene(b"GET /version", trace, decision=AccessDeniedError("Unauthorized"))
    assert b"Trace ID: 0af7651916cd43dd8448eb211c80319c" in it.client.body
