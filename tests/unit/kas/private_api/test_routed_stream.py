"""A request on its way: who is asked, when its body goes, and that nothing is done twice."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from kasbah.kas.private_api.routed_stream import RoutedStream
from kasbah.kas.private_api.settings import PrivateApiSettings
from kasbah.kas.reverse_tunnel.registry import Waiter
from kasbah.wire.native_tunnel.engine import NativeTunnel
from kasbah.wire.stream import ResetCode, Stream, StreamClass
from tests.doubles.recording_stream import RecordingStream
from tests.doubles.replica import Grant
from tests.doubles.tunnel_pair import RecordingHandler, TunnelPair


@dataclass
class Ways:
    """Two replicas, asked in turn; no store, no clock."""

    pairs: dict[str, TunnelPair] = field(default_factory=lambda: {"a": TunnelPair(), "b": TunnelPair()})
    local: Stream | None = None
    gone: list[str] = field(default_factory=list)
    waiting: list[Waiter] = field(default_factory=list)
    settings = PrivateApiSettings(listens=(), own_url="", secret=b"")

    def find_local(self, grant, opening, stream_class, handler) -> Stream | None:
        return self.local

    def find_replica(self, agent_id: int) -> tuple[str, NativeTunnel] | None:
        for url, pair in self.pairs.items():
            if url not in self.gone:
                return url, pair.kas.tunnel
        return None

    def refused(self, agent_id: int, url: str) -> None:
        self.gone.append(url)

    def silent(self, url: str) -> None:
        self.gone.append(url)

    def wait(self, agent_id: int, waiter: Waiter) -> None:
        self.waiting.append(waiter)

    def stop_waiting(self, agent_id: int, waiter: Waiter) -> None:
        if waiter in self.waiting:
            self.waiting.remove(waiter)


class Request:
    def __init__(self) -> None:
        self.ways, self.handler = Ways(), RecordingHandler()
        self.stream = RoutedStream(self.ways, Grant(), b"opening", StreamClass.SMALL, self.handler)
        self.handler.stream = self.stream
        replica = self.ways.find_replica(7)
        assert replica is not None
        self.stream.ask(*replica)

    def pump(self) -> None:
        for pair in self.ways.pairs.values():
            pair.pump()

    def far(self, url: str) -> tuple[Stream, RecordingHandler]:
        """The stream as it has come to that replica."""
        self.pump()
        _, opening, stream, handler = self.ways.pairs[url].agent.opened[-1]
        assert opening == b"opening"
        return stream, handler

    def asked(self) -> list[str]:
        self.pump()
        return [url for url, pair in self.ways.pairs.items() if pair.agent.opened]


@pytest.mark.asyncio
async def test_the_body_waits_until_somebody_has_taken_the_request():
    request = Request()
    assert not request.stream.send(b"body")
    request.stream.end()
    replica, heard = request.far("a")
    assert heard.said == []
    replica.send_head(b"")
    request.pump()
    assert heard.said == [("data", b"body"), ("ended", None)]
    replica.send_head(b"head")
    replica.send(b"answer")
    replica.end()
    request.pump()
    assert request.handler.said == [("head", b"head"), ("data", b"answer"), ("ended", None)]


@pytest.mark.asyncio
async def test_who_sends_a_long_body_is_told_to_go_on():
    request = Request()
    assert not request.stream.send(b"body")
    replica, heard = request.far("a")
    replica.send_head(b"")
    request.pump()
    assert request.handler.words() == ["writable"]
    assert request.stream.send(b" and more")
    request.pump()
    assert heard.received == 13


@pytest.mark.asyncio
async def test_a_request_without_a_body_is_said_whole_at_once():
    request = Request()
    request.stream.end()
    assert request.far("a")[1].words() == ["ended"]


@pytest.mark.asyncio
async def test_a_refusal_leads_to_the_next_and_the_body_goes_there_whole():
    request = Request()
    request.stream.send(b"body")
    request.stream.end()
    request.far("a")[0].reset(ResetCode.REFUSED, "not here")
    replica, heard = request.far("b")
    replica.send_head(b"head")
    request.pump()
    assert heard.said == [("data", b"body"), ("ended", None)]
    assert request.handler.said == [("head", b"head")]
    assert request.ways.gone == ["a"]


@pytest.mark.asyncio
async def test_a_connection_lost_before_anything_left_leads_to_the_next():
    request = Request()
    request.ways.pairs["a"].kas.tunnel.connection_lost("cut")
    assert request.asked() == ["b"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "code", [ResetCode.CONNECTION_LOST, ResetCode.UPSTREAM_UNREACHABLE, ResetCode.FORBIDDEN]
)
async def test_when_anything_may_have_been_done_nobody_else_is_asked(code: ResetCode):
    request = Request()
    request.far("a")[0].reset(code, "why")
    assert request.asked() == ["a"]
    assert request.handler.said == [("reset", (code, "why"))]


@pytest.mark.asyncio
async def test_a_refusal_behind_the_taking_is_the_exchanges_affair():
    request = Request()
    replica, _ = request.far("a")
    replica.send_head(b"")
    request.pump()
    replica.reset(ResetCode.REFUSED, "the agent drains")
    assert request.asked() == ["a"]
    assert request.handler.said == [("reset", (ResetCode.REFUSED, "the agent drains"))]


@pytest.mark.asyncio
async def test_a_silent_kas_is_given_up_and_nobody_else_is_asked():
    request = Request()
    _, heard = request.far("a")
    request.stream._unanswered()
    assert request.asked() == ["a"]
    assert heard.words() == ["reset"]
    assert request.handler.said == [("reset", (ResetCode.CONNECTION_LOST, "another kas does not answer"))]


@pytest.mark.asyncio
async def test_when_all_have_refused_it_waits_for_a_way_and_takes_the_one_here():
    request = Request()
    request.stream.send(b"body")
    for url in ("a", "b"):
        request.far(url)[0].reset(ResetCode.REFUSED)
    request.pump()
    [waiter] = request.ways.waiting
    request.ways.local = here = RecordingStream()
    waiter.tunnel_ready()
    assert bytes(here.data) == b"body"
    assert request.handler.words() == ["writable"]
    request.stream.consumed(5)
    assert here.taken == 5


@pytest.mark.asyncio
async def test_a_wait_has_an_end_and_being_asked_in_vain_gives_no_new_time():
    request = Request()
    for url in ("a", "b"):
        request.far(url)[0].reset(ResetCode.REFUSED)
    request.pump()
    give_up_at = request.stream._give_up_at
    request.ways.waiting.pop().tunnel_ready()
    assert request.stream._give_up_at == give_up_at
    request.stream._not_found()
    assert request.handler.said == [("reset", (ResetCode.REFUSED, "no kas has a tunnel of the agent"))]
    assert request.ways.waiting == []


@pytest.mark.asyncio
async def test_an_exchange_that_gives_up_leaves_nothing_behind():
    request = Request()
    _, heard = request.far("a")
    request.stream.reset(ResetCode.CANCELLED, "gone")
    request.pump()
    assert heard.said == [("reset", (ResetCode.CANCELLED, "gone"))]
    assert request.stream._timer is None
    request.stream.tunnel_ready()
    assert request.stream.send(b"late")
    request.stream.send_head(b"late")
    request.stream.end()
    request.stream.consumed(1)
    assert (request.asked(), request.stream.stream_id, request.handler.said) == (["a"], 0, [])
