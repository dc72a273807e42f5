"""Calls over a tunnel in memory, seen from both ends."""

from __future__ import annotations

import pytest

from kasbah.wire.native_tunnel.calls import answer_call, open_call
from kasbah.wire.native_tunnel.frames import INITIAL_WINDOW, GoAwayCode
from kasbah.wire.rpc import (
    MAX_MESSAGE_BYTES,
    RESET_CODE_BASE,
    Call,
    CallHandler,
    RpcError,
    StatusCode,
    prefixed,
)
from kasbah.wire.stream import ResetCode, StreamKind
from tests.doubles.recording_call import RecordingCallHandler
from tests.doubles.tunnel_pair import TunnelPair

PATH = "/a.Service/Method"


class Dialogue:
    """One call from the agent to kas; both ends write down what they are told."""

    def __init__(
        self, *, slow: bool = False, refused: bool = False, max_message_bytes: int = MAX_MESSAGE_BYTES
    ) -> None:
        self.pair = TunnelPair()
        self.answerer = RecordingCallHandler(slow=slow)
        self.caller = RecordingCallHandler(slow=slow)
        self._refused = refused
        self._max_message_bytes = max_message_bytes
        self.pair.kas.stream_opened = self._opened  # type: ignore[method-assign]
        self.caller.call = self.made = open_call(self.pair.agent.tunnel, PATH, self.caller)
        self.pump()

    def _opened(self, kind, opening, stream):
        assert (kind, opening.decode()) == (StreamKind.RPC, PATH)
        self.stream = stream
        return answer_call(stream, self._accept, self._max_message_bytes)

    def _accept(self, call: Call) -> CallHandler:
        self.answerer.call = self.answered = call
        if self._refused:
            call.fail(StatusCode.UNIMPLEMENTED, "unknown method")
        return self.answerer

    def pump(self) -> None:
        self.pair.pump()


def test_messages_go_both_ways_and_the_answerers_end_is_the_calls():
    dialogue = Dialogue()
    dialogue.made.send(b"one")
    dialogue.pump()
    dialogue.answered.send(b"two")
    dialogue.made.send(b"")
    dialogue.made.end()
    dialogue.pump()
    dialogue.answered.end()
    dialogue.pump()
    assert dialogue.answerer.said == [("message", b"one"), ("message", b""), ("ended", None)]
    assert dialogue.caller.said == [("message", b"two"), ("ended", None)]
    assert dialogue.pair.agent.tunnel.stream_count == dialogue.pair.kas.tunnel.stream_count == 0


def test_a_call_that_the_answerer_ends_first_is_over_at_both_ends():
    dialogue = Dialogue()
    dialogue.answered.end()
    dialogue.made.send(b"in vain")
    dialogue.pump()
    dialogue.made.send(b"later")
    dialogue.pump()
    assert (dialogue.caller.words(), dialogue.answerer.words()) == (["ended"], [])
    assert dialogue.pair.agent.tunnel.stream_count == dialogue.pair.kas.tunnel.stream_count == 0


def test_a_status_travels_as_a_reset_and_drops_what_is_queued():
    dialogue = Dialogue()
    dialogue.answered.send(b"dropped")
    dialogue.answered.fail(StatusCode.NOT_FOUND, "no such thing")
    dialogue.answered.send(b"in vain")
    dialogue.pump()
    assert dialogue.caller.said == [("failed", (StatusCode.NOT_FOUND, "no such thing"))]


@pytest.mark.parametrize(
    ("reset_code", "status"),
    [
        (RESET_CODE_BASE + StatusCode.UNAUTHENTICATED, StatusCode.UNAUTHENTICATED),
        (RESET_CODE_BASE + 999, StatusCode.UNKNOWN),
        (ResetCode.REFUSED, StatusCode.UNAVAILABLE),
    ],
)
def test_a_reset_comes_out_as_its_status(reset_code: int, status: StatusCode):
    dialogue = Dialogue()
    dialogue.stream.reset(reset_code, "why")
    dialogue.pump()
    assert dialogue.caller.said == [("failed", (status, "why"))]


def test_a_connection_that_breaks_fails_the_call_at_both_ends():
    dialogue = Dialogue()
    dialogue.pair.agent.tunnel.connection_lost("gone")
    dialogue.pair.kas.tunnel.connection_lost("gone")
    assert dialogue.caller.said == dialogue.answerer.said == [("failed", (StatusCode.UNAVAILABLE, "gone"))]


def test_a_caller_that_gives_up_tells_the_answerer_and_hears_no_more():
    dialogue = Dialogue()
    dialogue.answered.send(b"late")
    dialogue.made.fail(StatusCode.CANCELLED)
    dialogue.pump()
    assert (dialogue.caller.words(), dialogue.answerer.words()) == ([], ["failed"])


def test_a_call_may_be_refused_before_it_has_a_handler():
    dialogue = Dialogue(refused=True)
    dialogue.made.send(b"in vain")
    dialogue.pump()
    assert dialogue.caller.said == [("failed", (StatusCode.UNIMPLEMENTED, "unknown method"))]
    assert dialogue.answerer.said == []


def test_orders_to_a_call_that_is_over_do_nothing():
    dialogue = Dialogue()
    dialogue.answered.fail(StatusCode.NOT_FOUND)
    dialogue.pump()
    for call in (dialogue.made, dialogue.answered):
        assert call.send(b"in vain")
        call.end()
        call.fail(StatusCode.CANCELLED)
        call.consumed(1)
    dialogue.pump()
    assert (dialogue.caller.words(), dialogue.answerer.words()) == (["failed"], [])


def test_a_draining_tunnel_takes_no_calls():
    dialogue = Dialogue()
    dialogue.pair.kas.tunnel.go_away(GoAwayCode.DRAINING)
    dialogue.pump()
    with pytest.raises(RpcError, match="no new streams") as caught:
        open_call(dialogue.pair.agent.tunnel, PATH, RecordingCallHandler())
    assert caught.value.code is StatusCode.UNAVAILABLE


# -- framing and windows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\1\0\0\0\0", StatusCode.UNIMPLEMENTED),
        (b"\0\xff\xff\xff\xff", StatusCode.RESOURCE_EXHAUSTED),
        (b"\0\0\0\0\x08half", StatusCode.INTERNAL),
    ],
)
def test_broken_framing_ends_the_call_at_both_ends(data: bytes, code: StatusCode):
    dialogue = Dialogue()
    dialogue.made._stream.send(data)
    dialogue.made._stream.end()
    dialogue.pump()
    assert dialogue.answerer.said[0][1][0] == code
    assert dialogue.caller.said == dialogue.answerer.said


def test_broken_framing_of_an_answer_cancels_the_call():
    dialogue = Dialogue()
    dialogue.stream.send(b"\1\0\0\0\0")
    dialogue.pump()
    assert dialogue.caller.said[0][1][0] is StatusCode.UNIMPLEMENTED
    assert dialogue.answerer.words() == ["failed"]


def test_a_request_is_not_collected_beyond_its_limit():
    dialogue = Dialogue(max_message_bytes=100)
    dialogue.made.send(bytes(101))
    dialogue.pump()
    assert dialogue.caller.said == [
        ("failed", (StatusCode.RESOURCE_EXHAUSTED, "a message of 101 bytes is over the limit of 100"))
    ]


def test_a_message_longer_than_the_window_arrives():
    dialogue = Dialogue()
    message = bytes(5 * INITIAL_WINDOW)
    assert not dialogue.answered.send(message)
    dialogue.pump()
    assert dialogue.caller.said == [("message", message)]
    assert dialogue.answerer.words() == ["writable"]


@pytest.mark.parametrize("message", [bytes(1000), b""])
def test_a_handler_that_takes_nothing_is_sent_a_window_and_no_more(message: bytes):
    dialogue = Dialogue(slow=True)
    fit = INITIAL_WINDOW // (len(message) + 5)
    dialogue.made._stream.send(prefixed(message) * 2 * fit)
    dialogue.pump()
    assert len(dialogue.answerer.said) == fit
    for _ in range(fit):
        dialogue.answered.consumed(len(message))
    dialogue.pump()
    assert fit < len(dialogue.answerer.said) <= 2 * fit


def test_what_was_given_back_of_a_long_message_early_is_not_given_back_twice():
    dialogue = Dialogue(slow=True)
    for _ in range(4):
        dialogue.made.send(bytes(INITIAL_WINDOW))
    dialogue.pump()
    assert len(dialogue.answerer.said) == 1
    dialogue.answered.consumed(INITIAL_WINDOW)
    dialogue.pump()
    assert len(dialogue.answerer.said) == 2


def test_heads_mean_nothing():
    dialogue = Dialogue()
    dialogue.stream.send_head(b"head")
    dialogue.pump()
    assert dialogue.caller.said == []
