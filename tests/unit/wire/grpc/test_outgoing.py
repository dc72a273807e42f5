"""Who may write, in which order, and who waits for which window."""

from __future__ import annotations

from kasbah.wire.grpc import frames
from kasbah.wire.grpc.frames import FrameReader
from tests.doubles.grpc_pair import GrpcPair, RecordingCallHandler


def data_frames(data: bytes) -> list[tuple[int, int]]:
    """Stream id and size of each DATA frame."""
    return [
        (stream_id, len(payload))
        for kind, _, stream_id, payload in FrameReader(preface=False).receive(data)
        if kind == frames.DATA
    ]


def three_calls() -> tuple[GrpcPair, list[RecordingCallHandler]]:
    pair = GrpcPair(slow=True)
    handlers = []
    calls = [pair.open() for _ in range(3)]
    for size, (call, _, _, answerer) in zip((50_000, 10, 50_000), calls, strict=True):
        call.send(bytes(size))
        handlers.append(answerer)
    return pair, handlers


def test_calls_take_turns_of_one_frame():
    pair, _ = three_calls()
    sent = data_frames(pair.client.engine.take(1 << 20))
    assert [stream_id for stream_id, _ in sent][:5] == [1, 3, 5, 1, 5]
    assert all(size <= 16_384 for _, size in sent)


def test_a_budget_is_kept_to_about_a_frame():
    pair, _ = three_calls()
    assert sum(size for _, size in data_frames(pair.client.engine.take(20_000))) < 20_000 + 16_384
    assert pair.client.engine.has_output


def test_answers_come_before_calls():
    pair, _ = three_calls()
    pair.client.engine.receive(frames.frame_header(frames.PING, 0, 0, 8) + b"12345678")
    first = next(FrameReader(preface=False).receive(pair.client.engine.take(1 << 20)))
    assert first[0] == frames.PING


def test_a_call_whose_window_is_closed_holds_up_no_other():
    pair = GrpcPair(slow=True)
    stalled, _, _, unread = pair.open()
    while stalled.send(bytes(32_768)):
        pass
    pair.pump()
    stalled.send(bytes(32_768))
    pair.pump()
    quick, _, _, answerer = pair.open()
    quick.send(b"quick")
    pair.pump()
    assert answerer.messages() == [b"quick"]
    assert sum(map(len, unread.messages())) < 256 * 1024
    assert not pair.client.engine.has_output


def test_calls_that_wait_for_the_connections_window_come_back_in_order():
    pair = GrpcPair(slow=True)
    calls = [pair.open() for _ in range(4)]
    for call, *_ in calls:
        call.send(bytes(30_000))
    first = pair.client.engine.take(1 << 20)  # all that 65,535 bytes, or what was granted at the start, allow
    pair.server.engine.receive(first)
    pair.pump()
    assert [len(answerer.messages()) for *_, answerer in calls] == [1, 1, 1, 1]


def test_small_messages_are_joined_into_one_frame():
    pair = GrpcPair()
    call, *_ = pair.open()
    for _ in range(10):
        call.send(b"0123456789")
    assert data_frames(pair.client.engine.take(1 << 20)) == [(1, 150)]


def test_the_last_frame_of_a_caller_says_the_end():
    pair = GrpcPair()
    call, *_ = pair.open()
    call.send(b"x")
    call.end()
    (frame,) = FrameReader(preface=False).receive(pair.client.engine.take(1 << 20))
    assert frame[:2] == (frames.DATA, frames.END_STREAM)


def test_a_server_whose_caller_speaks_on_tells_it_to_stop():
    pair = GrpcPair()
    _, _, answering, _ = pair.open()
    answering.send(b"x")
    answering.end()
    kinds = [kind for kind, *_ in FrameReader(preface=False).receive(pair.server.engine.take(1 << 20))]
    assert kinds == [frames.HEADERS, frames.DATA, frames.HEADERS, frames.RST_STREAM]


def test_a_server_whose_caller_has_ended_does_not():
    pair = GrpcPair()
    call, _, answering, _ = pair.open()
    call.end()
    pair.pump()
    answering.end()
    kinds = [kind for kind, *_ in FrameReader(preface=False).receive(pair.server.engine.take(1 << 20))]
    assert kinds == [frames.HEADERS]


def test_calls_that_end_while_nothing_is_taken_leave_the_line():
    pair = GrpcPair()
    for _ in range(100):
        call, *_ = pair.open()
        call.send(b"x")
        call.fail(0)
    outgoing = pair.client.engine._outgoing
    assert not outgoing._line
    assert not outgoing._starved
