from __future__ import annotations

import asyncio
import json

import pytest

from kasbah.kas.http_server.clock import CoarseClock
from kasbah.kas.kubernetes_api import grant
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kas.kubernetes_api.watches import ANSWER_S, MAX_REOPENING, WatchOpener
from kasbah.wire import http1, request_policy
from kasbah.wire.stream import ResetCode, Stream, StreamClass
from tests.doubles.loopback_agent import LoopbackAgent
from tests.doubles.people import access_of_mia
from tests.doubles.watch_events import json_bookmark, json_event

GRANT = grant.issue("g", access_of_mia(), deadline_ms=1)
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
HEAD = (
    b"GET /api/v1/pods?watch=1&resourceVersion=5&timeoutSeconds=600 HTTP/1.1\r\n"
    b"Host: a\r\nAuthorization: Bearer pat:7:good\r\n\r\n"
)
REQUEST = request_policy.prepare(http1.request_head(HEAD), 0)


class Reader:
    """A `WatchClient` that takes everything."""

    def __init__(self, opener: WatchOpener) -> None:
        self.got = b""
        self.over = False
        self.takes = True
        self.stream: Stream | None = opener.open_nowait(GRANT, REQUEST, self)

    def opening(self, head: bytes) -> bytes:
        return head

    def head_received(self, head: bytes) -> None: ...

    def data_received(self, data: bytes) -> None:
        self.got += data
        if self.takes and self.stream is not None:
            self.stream.consumed(len(data))

    def ended(self) -> None:
        self.over = True

    def reset(self, code: int, message: str) -> None:
        self.over = True

    def writable(self) -> None: ...


class Scene:
    """An opener with as many watches as a test wants."""

    def __init__(self, watches: int = 1, **settings: float) -> None:
        self.clock = CoarseClock(1000.0, 0.0)
        self.agent = LoopbackAgent()
        self.opener = WatchOpener(self.agent, KubernetesApiSettings(**settings), self.clock)
        self.readers = [Reader(self.opener) for _ in range(watches)]
        for stream in self.agent.streams:
            stream.say_head(JSON)

    def lose_all(self) -> None:
        """The agent goes, and all streams with it."""
        self.agent.connected = False
        streams, self.agent.streams = self.agent.streams, []
        for stream in streams:
            stream.say_reset(ResetCode.CONNECTION_LOST)

    def later(self, seconds: float) -> None:
        """Time passes, and what is due happens."""
        self.clock.now += seconds
        self.opener.sweep()


def test_a_watch_is_opened_where_the_agent_is():
    it = Scene()
    assert it.readers[0].stream is not None
    assert it.agent.streams[0].stream_class is StreamClass.WATCH


def test_without_a_tunnel_there_is_no_watch():
    it = Scene(watches=0)
    it.agent.connected = False
    assert Reader(it.opener).stream is None


def test_watches_go_on_when_the_agent_comes_back_some_at_a_time():
    it = Scene(watches=MAX_REOPENING + 10)
    it.lose_all()
    assert len(it.agent.waiting) == 1  # one in line for all of them
    it.agent.connect()
    assert len(it.agent.streams) == MAX_REOPENING
    for stream in it.agent.streams[:10]:
        stream.say_head(JSON)
    assert len(it.agent.streams) == MAX_REOPENING + 10
    for number, stream in enumerate(it.agent.streams):
        if number >= 10:
            stream.say_head(JSON)
        stream.say(json_event("ADDED", 6))
    assert all(reader.got == json_event("ADDED", 6) for reader in it.readers)
    assert it.agent.waiting == []


def test_who_is_refused_for_now_is_sent_again_when_its_time_comes():
    it = Scene()
    it.agent.streams[0].say_reset(ResetCode.UPSTREAM_FAILED)
    it.agent.streams[1].say_head(b"HTTP/1.1 503 No\r\n\r\n")
    assert len(it.agent.streams) == 2
    it.later(1)
    assert len(it.agent.streams) == 3


def test_an_answer_that_does_not_come_is_not_waited_for_for_ever():
    it = Scene()
    it.agent.streams[0].say_reset(ResetCode.UPSTREAM_FAILED)
    it.later(ANSWER_S + 1)
    assert it.agent.streams[1].reset_with is not None
    it.later(1)
    assert len(it.agent.streams) == 3


def test_an_agent_that_does_not_come_back_is_an_error_event_and_nobody_waits_any_more():
    it = Scene(watches=3, watch_outage_s=60)
    it.lose_all()
    it.later(61)
    for reader in it.readers:
        assert reader.over
        assert json.loads(reader.got)["object"]["code"] == 503
    assert it.agent.waiting == []


@pytest.mark.parametrize("sweeps_first", [False, True])
def test_a_thousand_watches_may_end_one_after_the_other(sweeps_first: bool):
    it = Scene(watches=1000)
    it.lose_all()
    it.clock.now += 601
    if sweeps_first:
        it.opener.sweep()
    it.agent.connect()
    it.opener.sweep()
    assert all(reader.over for reader in it.readers)
    assert (it.agent.waiting, it.agent.streams) == ([], [])


def test_a_client_that_takes_nothing_waits_in_the_line_until_it_does():
    it = Scene()
    reader = it.readers[0]
    reader.takes = False
    it.agent.streams[0].say(json_event("ADDED", 6))
    for _ in range(3):
        it.agent.streams[0].say_reset(ResetCode.CONNECTION_LOST)
        it.later(1)
    assert len(it.agent.streams) == 1
    assert reader.stream is not None
    reader.stream.consumed(len(reader.got))
    assert len(it.agent.streams) == 2


def test_a_client_that_leaves_while_its_watch_is_broken_leaves_nothing():
    it = Scene()
    it.lose_all()
    assert it.readers[0].stream is not None
    it.readers[0].stream.reset(ResetCode.CANCELLED)
    assert it.agent.waiting == []
    it.agent.connect()
    assert it.agent.streams == []


def test_a_stalled_watch_is_opened_again():
    it = Scene(watch_stall_s=60)
    it.agent.streams[0].say(json_bookmark(9))
    it.later(61)
    assert it.agent.streams[0].reset_with is not None
    assert b"resourceVersion=9&" in it.agent.streams[1].opening


@pytest.mark.asyncio
async def test_it_looks_again_and_again_until_cancelled():
    it = Scene()
    it.agent.streams[0].say_reset(ResetCode.UPSTREAM_FAILED)
    it.agent.streams[1].say_head(b"HTTP/1.1 503 No\r\n\r\n")
    it.clock.now += 5
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(it.opener.run())
        await asyncio.sleep(0)
        assert len(it.agent.streams) == 3
        task.cancel()
