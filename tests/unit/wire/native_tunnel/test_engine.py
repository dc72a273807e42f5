"""Dialogues between the two ends of a native tunnel, and what each does with a peer that breaks the rules."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasbah.errors import PeerError
from kasbah.wire.native_tunnel import engine
from kasbah.wire.native_tunnel.engine import NativeTunnel, Role, State
from kasbah.wire.native_tunnel.frames import (
    END,
    HEADER,
    INITIAL_WINDOW,
    AgentHello,
    FrameType,
    GoAwayCode,
    KasHello,
    frame,
)
from kasbah.wire.native_tunnel.tunnel_stream import TunnelProtocolError
from kasbah.wire.stream import ResetCode, StreamClass, StreamKind
from tests.doubles.tunnel_pair import RecordingHandler, TunnelPair


def test_greeting_is_answered_before_streams_may_be_opened():
    pair = TunnelPair(greeted=False)
    assert not pair.kas.tunnel.can_open
    pair.agent.tunnel.greet(AgentHello(token="t", pod_id=1))
    pair.pump()
    assert pair.kas.events == [("hello", "t")]
    pair.kas.tunnel.accept(KasHello(agent_id=7))
    pair.pump()
    assert pair.agent.events == [("accepted", 7)]
    assert pair.agent.tunnel.can_open
    assert pair.kas.tunnel.can_open


def test_a_token_never_shows_in_a_greeting_printed():
    assert "glagent" not in repr(AgentHello(token="glagent-secret", pod_id=1))


@pytest.mark.parametrize("answers", [True, False])
def test_request_and_answer_travel_whole_and_the_stream_is_forgotten(answers: bool):
    pair = TunnelPair(answers=answers)
    stream, handler = pair.kas.open(b"GET /version")
    stream.end()
    pair.pump()
    ((kind, opening, answer, served),) = pair.agent.opened
    assert (kind, opening, served.words()) == (StreamKind.KUBERNETES_API, b"GET /version", ["ended"])
    answer.send_head(b"200")
    answer.send(b"body")
    answer.end()
    pair.pump()
    assert handler.said == [("head", b"200"), ("data", b"body"), ("ended", None)]
    assert pair.kas.tunnel.stream_count == pair.agent.tunnel.stream_count == 0


def test_a_small_answer_costs_two_frames():
    pair = TunnelPair()
    stream, _ = pair.kas.open()
    stream.end()
    pair.pump()
    answer = pair.agent.opened[0][2]
    answer.send_head(b"200")
    answer.send(b"body")
    answer.end()
    assert pair.pump() == 2 * HEADER.size + len(b"200body")


def test_a_small_answer_costs_one_frame_for_a_kas_that_takes_such():
    pair = TunnelPair(answers=True)
    stream, handler = pair.kas.open()
    stream.end()
    pair.pump()
    answer = pair.agent.opened[0][2]
    answer.send_head(b"200")
    answer.send(b"body")
    answer.end()
    assert pair.pump() == HEADER.size + len(b"200body")
    assert handler.said == [("head", b"200"), ("data", b"body"), ("ended", None)]


@pytest.mark.parametrize(
    ("head", "first"),
    [
        pytest.param(b"h" * 40_000, b"x" * 40_000, id="more than a frame holds"),
        pytest.param(b"200", b"x" * 300_000, id="more than the window"),
        pytest.param(b"h" * 65_535, b"", id="a head alone"),
        pytest.param(b"h" * 65_534, b"x", id="a frame that is just full"),
    ],
)
def test_an_answer_that_fits_no_frame_comes_in_several(head: bytes, first: bytes):
    pair = TunnelPair(answers=True)
    _, handler = pair.kas.open()
    pair.pump()
    answer = pair.agent.opened[0][2]
    answer.send_head(head)
    answer.send(first)
    answer.send(b"and the rest")
    answer.end()
    pair.pump()
    assert handler.said[0] == ("head", head)
    assert b"".join(data for word, data in handler.said if word == "data") == first + b"and the rest"
    assert handler.words().count("ended") == 1


def test_who_gives_up_on_seeing_the_head_hears_nothing_of_the_body():
    pair = TunnelPair(answers=True)
    _, handler = pair.kas.open()
    pair.pump()
    answer = pair.agent.opened[0][2]
    answer.send_head(b"200")
    answer.send(b"body")
    answer.end()
    handler.gives_up = True
    pair.pump()
    assert handler.words() == ["head"]
    assert pair.kas.tunnel.stream_count == 0


def test_an_agent_opens_calls_with_odd_ids_and_kas_streams_with_even_ones():
    pair = TunnelPair()
    assert [pair.agent.open()[0].stream_id for _ in range(2)] == [1, 3]
    assert [pair.kas.open()[0].stream_id for _ in range(2)] == [2, 4]


def test_data_for_a_stream_just_reset_is_ignored():
    pair = TunnelPair()
    stream, _ = pair.kas.open()
    pair.pump()
    answer = pair.agent.opened[0][2]
    answer.send(b"in flight")
    in_flight = b"".join(pair.agent.tunnel.take(1 << 20))
    stream.reset(ResetCode.CANCELLED)
    pair.kas.tunnel.receive(in_flight)
    assert pair.kas.tunnel.state is State.OPEN


def test_an_opening_over_64_kib_is_refused_at_once():
    pair = TunnelPair()
    with pytest.raises(PeerError, match="64 KiB"):
        pair.kas.open(b"x" * 65536)


def test_draining_refuses_new_streams_and_finishes_with_the_last():
    pair = TunnelPair()
    stream, _ = pair.kas.open()
    pair.pump()
    pair.agent.tunnel.go_away(GoAwayCode.DRAINING, "bye")
    pair.pump()
    assert ("go away", (GoAwayCode.DRAINING, "bye")) in pair.kas.events
    assert not pair.kas.tunnel.can_open
    stream.end()
    pair.agent.opened[0][2].end()
    pair.pump()
    assert ("finished", None) in pair.agent.events
    assert ("finished", None) not in pair.kas.events


def test_a_stream_that_the_peer_s_goaway_has_overtaken_is_still_served():
    pair = TunnelPair()
    stream, heard = pair.kas.open()
    pair.kas.tunnel.go_away(GoAwayCode.DRAINING)
    pair.pump()
    assert ("finished", None) not in pair.agent.events
    stream.end()
    pair.agent.opened[0][2].end()
    pair.pump()
    assert heard.words() == ["ended"]
    assert pair.kas.events[-1] == ("finished", None)


def test_a_stream_opened_while_the_peer_drains_is_refused_as_never_begun():
    pair = TunnelPair()
    _, handler = pair.kas.open()
    pair.agent.tunnel.go_away(GoAwayCode.DRAINING)
    pair.pump()
    assert handler.said == [("reset", (ResetCode.REFUSED, "this end is draining"))]


def test_a_lost_connection_tells_every_stream():
    pair = TunnelPair()
    _, handler = pair.kas.open()
    pair.kas.tunnel.connection_lost("cable cut")
    assert handler.said == [("reset", (ResetCode.CONNECTION_LOST, "cable cut"))]
    assert pair.kas.tunnel.stream_count == 0


def test_a_silent_peer_is_asked_and_then_given_up():
    pair = TunnelPair()
    pair.kas.tunnel.tick(0)
    pair.kas.tunnel.tick(engine.PING_AFTER_S + 1)
    assert pair.kas.tunnel.has_output
    with pytest.raises(TunnelProtocolError, match="silent"):
        pair.kas.tunnel.tick(engine.PING_AFTER_S + engine.PING_TIMEOUT_S + 3)


def test_a_peer_that_answers_pings_is_kept():
    pair = TunnelPair()
    for now in range(0, 300, 4):
        pair.kas.tunnel.tick(float(now))
        pair.agent.tunnel.tick(float(now))
        pair.pump()
    assert pair.kas.tunnel.state is State.OPEN


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(frame(FrameType.DATA, 9, b"x"), id="data for a stream never opened"),
        pytest.param(frame(FrameType.OPEN, 4, b"\x02\x02x"), id="an id of kas' parity"),
        pytest.param(frame(FrameType.OPEN, 1, b"\x02"), id="an opening without its header"),
        pytest.param(frame(FrameType.HELLO, 0, b"{}"), id="a second greeting"),
        pytest.param(HEADER.pack(0, 0, 77, 0, 0), id="an unknown frame"),
        pytest.param(HEADER.pack(2, 0, 77, 0, 0), id="an unknown frame on a stream"),
        pytest.param(frame(FrameType.DATA, 2, b"x", value=5), id="data with a gap"),
        pytest.param(frame(FrameType.DATA, 2, b"", flags=END) * 2, id="data after the end"),
        pytest.param(
            frame(FrameType.DATA, 2, b"x") + frame(FrameType.HEAD, 2, b"late", value=0),
            id="a head after data",
        ),
        pytest.param(frame(FrameType.ANSWER, 2, b"head", value=5), id="a head longer than its frame"),
        pytest.param(frame(FrameType.ANSWER, 2, b"200x", value=3) * 2, id="a second answer behind data"),
        pytest.param(
            b"".join(frame(FrameType.DATA, 2, bytes(65535), value=65535 * i) for i in range(5)),
            id="past the window",
        ),
    ],
)
def test_a_hostile_frame_closes_the_connection(hostile: bytes):
    pair = TunnelPair(slow=True)
    pair.kas.open()
    pair.pump()
    with pytest.raises(TunnelProtocolError):
        pair.kas.tunnel.receive(hostile)


def test_an_unknown_kind_of_stream_is_refused_and_costs_only_itself():
    pair = TunnelPair()
    pair.kas.tunnel.receive(frame(FrameType.OPEN, 1, b"\xff\x00opening"))
    assert pair.kas.opened == []
    assert pair.kas.tunnel.state is State.OPEN


def test_nothing_is_accepted_before_the_greeting():
    pair = TunnelPair(greeted=False)
    with pytest.raises(TunnelProtocolError, match="before the greeting"):
        pair.kas.tunnel.receive(frame(FrameType.OPEN, 1, b"\x02\x02x"))


@pytest.mark.parametrize(
    "greeting", [b"", b"[]", b'{"token": 1}', b'{"version": 2, "token": "", "pod_id": 1}']
)
def test_a_malformed_greeting_closes_the_connection(greeting: bytes):
    pair = TunnelPair(greeted=False)
    with pytest.raises(TunnelProtocolError):
        pair.kas.tunnel.receive(frame(FrameType.HELLO, 0, greeting))


def test_an_agent_that_opens_calls_without_end_is_cut_off():
    pair = TunnelPair()
    flood = b"".join(
        frame(FrameType.OPEN, 2 * i + 1, b"\x02\x02x") + frame(FrameType.RESET, 2 * i + 1)
        for i in range(engine.AGENT_OPENS_PER_MINUTE + 1)
    )
    with pytest.raises(TunnelProtocolError, match="too many"):
        pair.kas.tunnel.receive(flood)


def test_an_agent_has_a_few_calls_open_at_once_and_another_when_one_is_over():
    pair = TunnelPair()
    calls = [pair.agent.open() for _ in range(engine.AGENT_CALLS + 1)]
    pair.pump()
    why = "too many calls of this agent are open"
    assert calls[-1][1].said == [("reset", (ResetCode.REFUSED, why))]
    calls[0][0].reset(ResetCode.CANCELLED)
    _, another = pair.agent.open()
    pair.pump()
    assert another.said == []


def test_an_agent_that_pings_without_end_is_cut_off():
    pair = TunnelPair()
    pair.kas.tunnel.receive(frame(FrameType.PING) * engine.PINGS_PER_MINUTE)
    with pytest.raises(TunnelProtocolError, match="pings"):
        pair.kas.tunnel.receive(frame(FrameType.PING))


def test_a_connection_drains_before_its_ids_are_used_up():
    pair = TunnelPair()
    running, _ = pair.kas.open()
    pair.kas.tunnel._next_id = engine.RETIRE_FROM_ID
    pair.kas.tunnel.tick(1.0)
    pair.pump()
    assert pair.agent.events[-1][0] == "go away"
    assert not pair.kas.tunnel.can_open
    running.reset(ResetCode.CANCELLED)
    assert pair.kas.events[-1] == ("finished", None)


def test_late_frames_without_end_are_an_attack():
    pair = TunnelPair()
    stream, _ = pair.kas.open()
    pair.pump()
    stream.reset(ResetCode.CANCELLED)
    with pytest.raises(TunnelProtocolError, match="streams that are over"):
        pair.kas.tunnel.receive(frame(FrameType.DATA, 2) * (engine.LATE_FRAMES_PER_MINUTE + 1))


def test_a_keystroke_overtakes_a_bulk_download_that_is_queued():
    pair = TunnelPair()
    bulk, _ = pair.kas.open(b"bulk")
    bulk.send(b"x" * INITIAL_WINDOW)
    handler = pair.kas.open(b"unused")[1]
    keys = pair.kas.tunnel.open_stream(
        StreamKind.KUBERNETES_API, b"keys", handler, stream_class=StreamClass.KEYSTROKE
    )
    keys.send(b"k")
    first = b"".join(pair.kas.tunnel.take(1000))
    assert b"keys" in first
    assert len(first) < 70_000


@given(classes=st.lists(st.sampled_from(StreamClass), max_size=30))
def test_streams_of_any_classes_are_opened_in_the_order_of_their_ids(classes: list[StreamClass]):
    pair = TunnelPair()
    handler = RecordingHandler()
    for stream_class in classes:
        pair.kas.tunnel.open_stream(StreamKind.KUBERNETES_API, b"", handler, stream_class=stream_class).end()
    pair.pump()
    opened = [stream.stream_id for _, _, stream, _ in pair.agent.opened]
    assert opened == [2 * number for number in range(1, len(classes) + 1)]
    assert all(served.words() == ["ended"] for *_, served in pair.agent.opened)


def test_a_stream_given_up_before_its_opening_went_out_holds_nobody_up():
    pair = TunnelPair()
    given_up, _ = pair.kas.open(b"given up")
    pair.kas.tunnel.open_stream(
        StreamKind.KUBERNETES_API, b"keys", RecordingHandler(), stream_class=StreamClass.KEYSTROKE
    )
    given_up.reset(ResetCode.CANCELLED)
    pair.pump()
    assert [opening for _, opening, _, _ in pair.agent.opened] == [b"keys"]


@given(
    bodies=st.lists(st.binary(max_size=200_000), min_size=1, max_size=5),
    piece=st.integers(min_value=1, max_value=70_000),
)
@settings(max_examples=25, deadline=None)
def test_any_bodies_arrive_whole_however_the_bytes_are_cut(bodies: list[bytes], piece: int):
    pair = TunnelPair()
    for body in bodies:
        stream, _ = pair.kas.open()
        for start in range(0, len(body), 7000):
            stream.send(body[start : start + 7000])
        stream.end()
    pair.pump(piece=max(piece, 200))
    received = [b"".join(d for w, d in handler.said if w == "data") for *_, handler in pair.agent.opened]
    assert received == bodies
    assert all(handler.said[-1] == ("ended", None) for *_, handler in pair.agent.opened)


def test_a_tunnel_that_takes_no_streams_says_so():
    pair = TunnelPair(greeted=False)
    with pytest.raises(PeerError, match="takes no new streams") as error:
        pair.kas.open()
    assert error.value.retryable


def test_a_second_drain_and_a_drain_after_the_end_say_nothing():
    pair = TunnelPair()
    pair.kas.open()
    pair.kas.tunnel.go_away(GoAwayCode.DRAINING)
    pair.kas.tunnel.go_away(GoAwayCode.DRAINING)
    pair.pump()
    pair.kas.tunnel.connection_lost("gone")
    pair.kas.tunnel.go_away(GoAwayCode.DRAINING)
    pair.kas.tunnel.connection_lost("gone again")
    pair.kas.tunnel.accept(KasHello(agent_id=8))
    assert [word for word, _ in pair.agent.events].count("go away") == 1
    assert (pair.kas.tunnel.state, pair.kas.tunnel.has_output) == (State.CLOSED, False)


def test_a_reason_for_leaving_from_a_newer_peer_is_a_drain():
    pair = TunnelPair()
    pair.kas.tunnel.receive(frame(FrameType.GOAWAY, 0, b"new", value=99))
    assert pair.kas.events[-1] == ("go away", (GoAwayCode.DRAINING, "new"))


def test_a_greeting_in_single_bytes_is_understood():
    pair = TunnelPair(greeted=False)
    pair.agent.tunnel.greet(AgentHello(token="t", pod_id=1))
    pair.pump(piece=1)
    assert pair.kas.events == [("hello", "t")]


def test_nothing_is_read_after_the_owner_gave_the_connection_up():
    pair = TunnelPair()
    pair.kas.go_away_received = lambda _code, _message: pair.kas.tunnel.connection_lost("enough")  # type: ignore[method-assign]
    pair.kas.tunnel.receive(frame(FrameType.GOAWAY, 0, value=0) + frame(FrameType.HELLO, 0, b"nonsense"))
    assert not pair.kas.tunnel.has_output


@pytest.mark.parametrize(
    ("hello", "complaint"),
    [
        (b'{"version":2,"token":"t","pod_id":1}', "speaks kasbah.v2, this end kasbah.v1"),
        (b'{"token":"t","pod_id":1,"window":1023}', "window of 1023 bytes"),
        (b'{"token":"t","pod_id":1,"window":1048577}', "window of 1048577 bytes"),
    ],
)
def test_a_greeting_this_end_cannot_live_with_says_why(hello: bytes, complaint: str):
    pair = TunnelPair(greeted=False)
    with pytest.raises(TunnelProtocolError, match=complaint):
        pair.kas.tunnel.receive(frame(FrameType.HELLO, 0, hello))


def test_a_class_of_a_newer_peer_shares_as_an_ordinary_request():
    pair = TunnelPair()
    pair.agent.tunnel.receive(frame(FrameType.OPEN, 2, b"\x01\x63GET"))
    assert pair.agent.opened[0][:2] == (StreamKind.KUBERNETES_API, b"GET")
    pair.agent.opened[0][2].send(b"answer")
    assert pair.agent.tunnel.take(1 << 20)


def test_ends_that_know_each_other_say_no_greeting():
    pair = TunnelPair(greeted=False)
    pair.kas.tunnel = NativeTunnel(Role.KAS, pair.kas, greeted=True)
    pair.agent.tunnel = NativeTunnel(Role.AGENT, pair.agent, greeted=True)
    _, handler = pair.kas.open(b"request")
    pair.pump()
    pair.agent.opened[0][2].send_head(b"head")
    pair.pump()
    assert handler.said == [("head", b"head")]
    with pytest.raises(TunnelProtocolError, match="a second greeting"):
        pair.kas.tunnel.receive(frame(FrameType.HELLO, 0, b"{}"))
