"""One call: its queue, its window, and what waits for room."""

from __future__ import annotations

import gzip

import pytest

from kasbah.wire.grpc.call import QUEUE_LIMIT, GrpcCall
from kasbah.wire.grpc.limits import GrpcLimits
from kasbah.wire.rpc import StatusCode
from tests.doubles.grpc_pair import RecordingCallHandler

WINDOW = 1000


class Connection:
    """The connection, as one of its calls sees it."""

    def __init__(self) -> None:
        self.limits = GrpcLimits(stream_window=WINDOW, max_message_bytes=5000)
        self.granted = 0
        self.held = [0, 0]
        self.room = True
        self.lines = 0
        self.closed: tuple[StatusCode, str] | None = None

    def stand_in_line(self, call: GrpcCall) -> None:
        call.in_line = True
        self.lines += 1

    def open_window(self, call: GrpcCall, increment: int) -> None:
        self.granted += increment

    def hold(self, unread: int, partial: int) -> bool:
        self.held = [self.held[0] + unread, self.held[1] + partial]
        return self.room

    def inflating(self, size: int) -> bool:
        return size == 0 or self.room

    def close(self, call: GrpcCall, code: StatusCode, message: str) -> None:
        self.closed = (code, message)
        self.forget(call)

    def forget(self, call: GrpcCall) -> None:
        call.detach()


def begin(*, slow: bool = False) -> tuple[Connection, GrpcCall, RecordingCallHandler]:
    connection, handler = Connection(), RecordingCallHandler(slow=slow)
    call = GrpcCall(connection, 1, handler, gzip=False)
    handler.call = call
    return connection, call, handler


def prefixed(body: bytes, flag: int = 0) -> bytes:
    return bytes([flag]) + len(body).to_bytes(4, "big") + body


def feed(call: GrpcCall, data: bytes) -> bool:
    return call.data_received(data, len(data))


def cut(call: GrpcCall, room: int) -> bytes:
    out: list[bytes | memoryview] = []
    size = call.cut(out, room)
    data = b"".join(out)
    assert len(data) == size
    return data


def test_messages_are_cut_to_the_room_there_is():
    _, call, _ = begin()
    call.send(b"a" * 10)
    call.send(b"b" * 10_000)
    data = cut(call, 7) + cut(call, 0) + cut(call, 5000) + cut(call, 100_000)
    assert data == prefixed(b"a" * 10) + prefixed(b"b" * 10_000)
    assert call.queued == 0


def test_the_queue_has_a_bound_and_says_when_there_is_room_again():
    _, call, _ = begin()
    answers = [call.send(bytes(64 * 1024)) for _ in range(4)]
    assert answers == [True, True, True, False]
    assert not call.take_writable()
    cut(call, QUEUE_LIMIT // 2 + 100)
    assert call.take_writable()
    assert not call.take_writable()


def test_it_stands_in_line_once():
    connection, call, _ = begin()
    call.send(b"a")
    call.send(b"b")
    call.end()
    assert connection.lines == 1


def test_after_the_end_nothing_is_queued():
    _, call, _ = begin()
    call.end()
    assert call.send(b"late")
    assert call.queued == 0


def test_what_is_consumed_opens_the_window_by_halves():
    connection, call, handler = begin(slow=True)
    feed(call, prefixed(bytes(595)))
    assert connection.granted == 0
    call.consumed(400)
    assert connection.granted == 0
    call.consumed(195)
    assert connection.granted == 600
    assert connection.held == [0, 0]
    assert handler.words() == ["message"]


def test_more_than_the_window_is_a_breach():
    _, call, _ = begin(slow=True)
    assert feed(call, prefixed(bytes(900)))
    assert not feed(call, prefixed(bytes(200)))


def test_a_message_longer_than_the_window_arrives():
    connection, call, handler = begin()
    data = prefixed(bytes(4995))
    sent = 0
    while sent < len(data):
        room = WINDOW + connection.granted - sent
        assert feed(call, data[sent : sent + room])
        sent += room
    assert [len(message) for message in handler.messages()] == [4995]


def test_a_handler_that_is_slow_is_given_one_window_and_the_rest_waits_as_it_came():
    connection, call, handler = begin(slow=True)
    call.accept_gzip()
    small = prefixed(gzip.compress(bytes(900)), 1)
    for _ in range(20):
        assert feed(call, small)
    assert len(handler.messages()) == 2
    assert connection.held[0] == 1800 + 18 * len(small)
    while len(handler.messages()) < 20:
        call.consumed(900)
    assert handler.messages() == [bytes(900)] * 20


def test_the_end_waits_for_the_messages_before_it():
    _, call, handler = begin(slow=True)
    call.accept_gzip()
    feed(call, prefixed(gzip.compress(bytes(1500)), 1) + prefixed(b"last"))
    call.peer_ended((StatusCode.OK, ""))
    assert handler.words() == ["message"]
    call.consumed(1500)
    assert handler.words() == ["message", "message", "ended"]


def test_consuming_within_the_callback_delivers_in_order():
    _, call, handler = begin()
    feed(call, b"".join(prefixed(b"%d" % i * 300) for i in range(3)))
    assert [message[:1] for message in handler.messages()] == [b"0", b"1", b"2"]


def test_a_half_message_at_the_end_is_an_error():
    connection, call, handler = begin()
    feed(call, prefixed(b"whole") + b"\0\0\0\0\x09half")
    call.peer_ended()
    assert handler.words() == ["message", "failed"]
    assert handler.code is StatusCode.INTERNAL
    assert connection.closed == (StatusCode.INTERNAL, handler.reason)


def test_a_failed_outcome_counts_more_than_a_half_message():
    _, call, handler = begin()
    feed(call, b"\0\0\0\0\x09half")
    call.peer_ended((StatusCode.NOT_FOUND, "gone"))
    assert handler.said == [("failed", (StatusCode.NOT_FOUND, "gone"))]


def test_a_message_over_the_limit_ends_the_call_on_both_sides():
    connection, call, handler = begin()
    feed(call, b"\0" + (5001).to_bytes(4, "big"))
    assert handler.code is StatusCode.RESOURCE_EXHAUSTED
    assert connection.closed is not None


def test_partial_messages_without_room_end_the_call():
    connection, call, handler = begin()
    connection.room = False
    feed(call, prefixed(bytes(100))[:50])
    assert handler.code is StatusCode.RESOURCE_EXHAUSTED
    assert connection.held == [0, 0]


def test_over_it_says_and_takes_nothing_more():
    connection, call, handler = begin()
    feed(call, b"\0\0\0\0\x09half")
    call.lost(StatusCode.CANCELLED, "gone")
    call.lost(StatusCode.CANCELLED, "gone")
    call.send(b"x")
    call.end()
    call.fail(StatusCode.INTERNAL)
    call.consumed(5)
    assert handler.words() == ["failed"]
    assert (connection.lines, connection.held, connection.closed) == (0, [0, 0], None)


@pytest.mark.parametrize(
    ("size", "sent", "code"),
    [
        (100, 0, StatusCode.OK),
        (100, 105, StatusCode.OK),
        (100, 50, StatusCode.CANCELLED),
        (100_000, 5, StatusCode.CANCELLED),
        (100_000, 50_000, StatusCode.CANCELLED),
    ],
)
def test_an_answer_that_ends_at_once_ends_well_between_two_messages_only(
    size: int, sent: int, code: StatusCode
):
    connection, call, _ = begin()
    call.send(bytes(size))
    call.send(b"the next")
    call.cut([], sent)
    call.fail(StatusCode.OK)
    assert connection.closed is not None
    assert (connection.closed[0], call.queued) == (code, 0)


def test_failing_within_a_callback_stops_the_delivery():
    connection, call, _ = begin()

    class Failing(RecordingCallHandler):
        def message_received(self, message: bytes) -> None:
            super().message_received(message)
            call.fail(StatusCode.INVALID_ARGUMENT, "no")

    failing = Failing(call)
    call.handler = failing
    feed(call, prefixed(b"one") + prefixed(b"two"))
    assert failing.words() == ["message"]
    assert connection.closed == (StatusCode.INVALID_ARGUMENT, "no")


def test_padding_counts_against_the_window_and_is_given_back():
    connection, call, _ = begin()
    assert call.data_received(b"", 600)
    assert connection.granted == 600


@pytest.mark.parametrize("ended", [False, True])
def test_work_is_what_can_still_be_sent(ended):
    _, call, _ = begin()
    assert not call.has_work
    if ended:
        call.end()
    else:
        call.send(b"x")
    assert call.has_work
    call.stop_sending()
    assert not call.has_work
