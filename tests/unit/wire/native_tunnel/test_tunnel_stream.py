"""One stream's share of a tunnel: windows, bounds, ends."""

from __future__ import annotations

from kasbah.wire.native_tunnel.frames import HEADER, INITIAL_WINDOW, FrameType, frame
from kasbah.wire.stream import ResetCode, StreamClass
from tests.doubles.tunnel_pair import TunnelPair


def test_a_reader_that_takes_nothing_stops_its_writer_at_the_window_and_nobody_else():
    pair = TunnelPair(slow=True)
    slow, _ = pair.kas.open()
    assert slow.send(b"x" * (INITIAL_WINDOW + 1000)) is False
    pair.pump()
    assert pair.agent.opened[0][3].received == INITIAL_WINDOW
    other, _ = pair.kas.open()
    other.send(b"quick")
    pair.pump()
    assert pair.agent.opened[1][3].said == [("data", b"quick")]


def test_taking_half_a_window_opens_it_again_and_the_writer_hears_of_it():
    pair = TunnelPair(slow=True)
    stream, handler = pair.kas.open()
    stream.send(b"x" * (2 * INITIAL_WINDOW))
    pair.pump()
    pair.agent.opened[0][2].consumed(INITIAL_WINDOW)
    pair.pump()
    assert pair.agent.opened[0][3].received == 2 * INITIAL_WINDOW
    assert handler.words() == ["writable"]


def test_a_stream_whose_reader_took_much_gets_a_larger_window():
    pair = TunnelPair()
    stream, _ = pair.kas.open()
    for _ in range(40):
        stream.send(b"x" * 65536)
        pair.pump()
    pair.agent.opened[0][3].slow = True
    stream.send(b"x" * (4 * INITIAL_WINDOW + 1))
    before = pair.agent.opened[0][3].received
    pair.pump()
    assert pair.agent.opened[0][3].received - before > 2 * INITIAL_WINDOW


def test_reset_reaches_the_other_side_once_and_drops_what_was_queued():
    pair = TunnelPair()
    stream, handler = pair.kas.open()
    pair.pump()
    stream.send(b"never seen")
    stream.reset(ResetCode.CANCELLED, "gone")
    pair.pump()
    assert pair.agent.opened[0][3].said == [("reset", (ResetCode.CANCELLED, "gone"))]
    assert handler.said == []


def test_a_stream_reset_before_it_was_sent_leaves_no_trace():
    pair = TunnelPair()
    stream, _ = pair.kas.open()
    stream.reset(ResetCode.CANCELLED)
    pair.pump()
    assert pair.agent.opened == []
    assert not pair.kas.tunnel.has_output


def test_orders_to_a_stream_that_is_over_do_nothing():
    pair = TunnelPair()
    stream, _ = pair.kas.open()
    stream.reset(ResetCode.CANCELLED)
    assert stream.send(b"late") is True
    stream.end()
    stream.consumed(10)
    stream.reset(ResetCode.CANCELLED)
    assert pair.pump() == 0


def test_a_head_over_64_kib_ends_its_stream_on_both_sides():
    pair = TunnelPair()
    _, handler = pair.kas.open()
    pair.pump()
    _, _, answer, served = pair.agent.opened[0]
    answer.send_head(b"x" * 65536)
    pair.pump()
    assert handler.words() == served.words() == ["reset"]


def test_the_rest_of_a_read_is_ignored_once_a_callback_reset_the_stream():
    pair = TunnelPair()
    stream, handler = pair.kas.open()
    pair.pump()
    handler.data_received = lambda data: stream.reset(ResetCode.CANCELLED)  # type: ignore[method-assign]
    pair.kas.tunnel.receive(frame(FrameType.DATA, 2, b"a") + frame(FrameType.DATA, 2, b"b", value=1))
    assert pair.kas.tunnel.stream_count == 0


def test_letting_go_of_a_stream_as_it_ends_says_nothing():
    pair = TunnelPair()
    stream, handler = pair.kas.open()
    stream.end()
    pair.pump()
    handler.ended = lambda: stream.reset(ResetCode.CANCELLED)  # type: ignore[method-assign]
    pair.agent.opened[0][2].end()
    assert pair.pump() == HEADER.size
    assert pair.kas.tunnel.stream_count == 0


def test_a_stream_prints_what_it_carried_and_not_what_it_said():
    pair = TunnelPair()
    stream, _ = pair.kas.open(b"secret opening")
    stream.send(b"four")
    pair.pump()
    assert repr(stream) == "TunnelStream(2, sent=4, received=0)"


def test_ending_twice_is_ending_once():
    pair = TunnelPair()
    stream, _ = pair.kas.open()
    stream.end()
    pair.pump()
    stream.end()
    pair.pump()
    assert pair.agent.opened[0][3].words() == ["ended"]


def test_a_window_that_is_no_larger_than_the_last_changes_nothing():
    pair = TunnelPair(slow=True)
    stream, _ = pair.kas.open()
    stream.send(b"x" * (INITIAL_WINDOW + 1))
    pair.pump()
    pair.kas.tunnel.receive(frame(FrameType.WINDOW, stream.stream_id, value=INITIAL_WINDOW))
    pair.pump()
    assert pair.agent.opened[0][3].received == INITIAL_WINDOW


def test_what_is_queued_when_told_to_go_on_is_sent_in_the_same_breath():
    pair = TunnelPair()
    stream, handler = pair.kas.open()
    handler.writable = lambda: stream.send(b"more") and None  # type: ignore[method-assign]
    assert not stream.send(b"x" * INITIAL_WINDOW)
    pair.pump()
    assert pair.agent.opened[0][3].received == INITIAL_WINDOW + 4


def test_a_stream_knows_whether_its_opening_has_left():
    pair = TunnelPair()
    stream, _ = pair.kas.open()
    assert stream.unsent
    pair.kas.tunnel.connection_lost("cut")
    assert stream.unsent
    pair = TunnelPair()
    stream, _ = pair.kas.open()
    pair.pump()
    assert not stream.unsent
    assert stream.stream_class == pair.agent.opened[0][2].stream_class == StreamClass.SMALL


def test_a_stream_knows_whether_it_is_over():
    stream, _ = TunnelPair().kas.open()
    assert not stream.is_over
    stream.reset(ResetCode.CANCELLED)
    assert stream.is_over


def test_an_empty_head_may_stand_before_the_real_one():
    pair = TunnelPair()
    _, handler = pair.kas.open()
    pair.pump()
    answering = pair.agent.opened[0][2]
    answering.send_head(b"")
    pair.pump()
    answering.send_head(b"head")
    pair.pump()
    assert handler.said == [("head", b""), ("head", b"head")]
