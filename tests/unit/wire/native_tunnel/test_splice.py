"""A kas in between: a pair of tunnels on either side of it, in memory."""

from __future__ import annotations

import pytest

from kasbah.wire.native_tunnel.frames import GROWN_WINDOW
from kasbah.wire.native_tunnel.splice import splice
from kasbah.wire.native_tunnel.tunnel_stream import QUEUE_LIMIT
from kasbah.wire.stream import ResetCode, Stream, StreamHandler, StreamKind
from tests.doubles.recording_stream import RecordingStream
from tests.doubles.tunnel_pair import RecordingHandler, TunnelPair


class Between:
    """caller → kas | kas → agent, with one stream through both."""

    def __init__(self, *, slow_agent: bool = False) -> None:
        self.front, self.back = TunnelPair(), TunnelPair(slow=slow_agent)
        self.stream, self.caller = self.front.kas.open(b"a request")
        self.front.pump()
        _, opening, arrived, _ = self.front.agent.opened[0]

        def onward(handler: StreamHandler) -> Stream:
            return self.back.kas.tunnel.open_stream(StreamKind.KUBERNETES_API, opening, handler)

        handler = splice(arrived, onward)
        assert handler is not None
        arrived.take_over(handler, ended=0)
        self.pump()

    @property
    def agent(self) -> RecordingHandler:
        return self.back.agent.opened[0][3]

    @property
    def answering(self) -> Stream:
        return self.back.agent.opened[0][2]

    def pump(self) -> None:
        while self.front.pump() + self.back.pump():
            pass


def test_everything_passes_both_ways():
    between = Between()
    assert between.back.agent.opened[0][1] == b"a request"
    between.stream.send(b"body")
    between.stream.end()
    between.answering.send_head(b"head")
    between.answering.send(b"answer")
    between.answering.end()
    between.pump()
    assert between.agent.said == [("data", b"body"), ("ended", None)]
    assert between.caller.said == [("head", b"head"), ("data", b"answer"), ("ended", None)]
    assert between.front.kas.tunnel.stream_count == between.back.kas.tunnel.stream_count == 0


def test_a_slow_agent_stops_the_caller_and_nothing_piles_up_in_between():
    between = Between(slow_agent=True)
    sent = 0
    while between.stream.send(b"x" * 65536):
        sent += 65536
        between.pump()
    between.pump()
    assert between.agent.received + QUEUE_LIMIT <= sent <= 2 * GROWN_WINDOW + 2 * QUEUE_LIMIT
    while between.agent.received < sent:
        taken = between.agent.received
        between.answering.consumed(taken - getattr(between, "given", 0))
        between.given = taken  # type: ignore[attr-defined]
        between.pump()
    assert between.caller.words() == ["writable"]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (ResetCode.REFUSED, ResetCode.REFUSED),
        (ResetCode.UPSTREAM_UNREACHABLE, ResetCode.UPSTREAM_UNREACHABLE),
    ],
)
def test_a_reset_passes_as_it_is(code: ResetCode, told: ResetCode):
    between = Between()
    between.answering.reset(code, "why")
    between.pump()
    assert between.caller.said == [("reset", (told, "why"))]


def test_a_caller_that_gives_up_takes_the_agents_work_along():
    between = Between()
    between.stream.reset(ResetCode.CANCELLED, "gone")
    between.pump()
    assert between.agent.said == [("reset", (ResetCode.CANCELLED, "gone"))]


def test_a_lost_caller_is_to_the_agent_one_that_gave_up():
    between = Between()
    between.front.agent.tunnel.connection_lost("cut")
    between.pump()
    assert between.agent.said == [("reset", (ResetCode.CANCELLED, "cut"))]


def test_a_lost_agent_is_told_as_such_to_the_caller():
    between = Between()
    between.back.kas.tunnel.connection_lost("cut")
    between.pump()
    assert between.caller.said == [("reset", (ResetCode.CONNECTION_LOST, "cut"))]


def test_with_nothing_to_open_nothing_is_joined():
    assert splice(RecordingStream(), lambda _handler: None) is None


def test_an_onward_stream_that_ends_while_it_is_opened_ends_the_callers():
    caller = RecordingStream()

    def onward(handler: StreamHandler) -> Stream:
        handler.reset(ResetCode.REFUSED, "full")
        return RecordingStream()

    splice(caller, onward)
    assert caller.reset_with == (ResetCode.REFUSED, "full")
