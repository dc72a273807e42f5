"""What both ends of an HTTP exchange do alike."""

from __future__ import annotations

import pytest

from kasbah.wire.http_call.automaton import HTTP_RESPONSE
from kasbah.wire.http_call.half import MAX_CHUNK_BYTES, HttpHalf, impossible
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest
from kasbah.wire.rpc import StatusCode
from tests.doubles.recording_call import RecordingCall


def half(*, full: bool = False) -> tuple[HttpHalf, RecordingCall]:
    call = RecordingCall(full=full)
    end = HttpHalf(HTTP_RESPONSE)
    end._call = call
    return end, call


@pytest.mark.parametrize(
    ("size", "pieces"), [(0, 0), (1, 1), (MAX_CHUNK_BYTES, 1), (MAX_CHUNK_BYTES + 1, 2), (256 * 1024, 8)]
)
def test_data_go_out_in_pieces_that_any_peer_takes(size: int, pieces: int):
    end, call = half()
    data = bytes(range(256)) * (size // 256 + 1)
    assert end.send(data[:size])
    messages = [HttpRequest.FromString(message).data.data for message in call.sent]
    assert len(messages) == pieces
    assert b"".join(messages) == data[:size]


@pytest.mark.parametrize("size", [1, MAX_CHUNK_BYTES + 1])
def test_a_full_call_is_a_full_stream_and_takes_the_piece_at_hand(size: int):
    end, call = half(full=True)
    assert not end.send(b"x" * size)
    assert sum(len(HttpRequest.FromString(message).data.data) for message in call.sent) == size


def test_the_wrapping_is_given_back_with_the_data():
    end, call = half()
    end._owe(b"x" * 14, b"y" * 10)
    end._owe(b"x" * 25, b"y" * 20)
    end._owe(b"xx", b"")
    assert call.taken == [2]
    end.consumed(30)
    assert call.taken == [2, 39]


def test_a_call_is_no_numbered_stream():
    assert half()[0].stream_id == 0


def test_what_the_order_allows_and_the_exchange_does_not_is_an_internal_error():
    assert impossible("so").code is StatusCode.INTERNAL
