"""Cutting HTTP/2 frames, and refusing what is none."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.wire.grpc import frames
from kasbah.wire.grpc.frames import FrameReader, GrpcProtocolError, frame_header


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return frame_header(kind, flags, stream_id, len(payload)) + payload


def read(*data: bytes, preface: bool = False) -> list[tuple[int, int, int, bytes]]:
    reader = FrameReader(preface=preface)
    return [
        (kind, flags, stream_id, bytes(payload))
        for piece in data
        for kind, flags, stream_id, payload in reader.receive(piece)
    ]


DIALOGUE = [
    frame(frames.SETTINGS, 0, 0),
    frame(frames.HEADERS, 0, 1, b"head"),
    frame(frames.CONTINUATION, frames.END_HEADERS, 1, b"tail"),
    frame(frames.DATA, 0, 1, bytes(16_384)),
    frame(frames.DATA, frames.END_STREAM, 1),
    frame(frames.PING, 0, 0, b"12345678"),
]


@given(st.lists(st.integers(0, 17_000)))
def test_where_the_bytes_are_cut_does_not_matter(cuts):
    data = frames.PREFACE + b"".join(DIALOGUE)
    edges = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert read(*pieces, preface=True) == read(data, preface=True)
    assert [kind for kind, *_ in read(data, preface=True)] == [4, 1, 0, 0, 6]


def test_a_header_block_comes_as_one_with_its_frames_as_they_were():
    (block,) = read(DIALOGUE[1], DIALOGUE[2])
    assert block == (frames.HEADERS, 0, 1, DIALOGUE[1] + DIALOGUE[2])


def test_who_does_not_begin_with_the_preface_is_refused_at_the_first_wrong_byte():
    with pytest.raises(GrpcProtocolError):
        read(b"GET", preface=True)


def test_a_frame_over_16_kib_is_refused_by_its_header_alone():
    with pytest.raises(GrpcProtocolError) as error:
        read(frame_header(frames.DATA, 0, 1, 16_385))
    assert error.value.code == frames.FRAME_SIZE_ERROR


def test_a_frame_over_16_kib_is_refused_when_its_header_comes_in_two_pieces():
    header = frame_header(frames.DATA, 0, 1, 1 << 20)
    with pytest.raises(GrpcProtocolError):
        read(header[:4], header[4:])


@pytest.mark.parametrize(
    "between",
    [
        frame(frames.DATA, 0, 1, b"x"),
        frame(frames.PING, 0, 0, bytes(8)),
        frame(frames.CONTINUATION, 0, 3),
        frame(frames.HEADERS, frames.END_HEADERS, 3),
    ],
)
def test_nothing_may_interrupt_a_header_block(between):
    with pytest.raises(GrpcProtocolError):
        read(frame(frames.HEADERS, 0, 1, b"head"), between)


def test_a_continuation_without_a_beginning_is_refused():
    with pytest.raises(GrpcProtocolError):
        read(frame(frames.CONTINUATION, frames.END_HEADERS, 1))


@pytest.mark.parametrize("size", [0, 16_384])
def test_a_header_block_without_end_is_refused(size):
    flood = [frame(frames.HEADERS, 0, 1), *[frame(frames.CONTINUATION, 0, 1, bytes(size))] * 40]
    with pytest.raises(GrpcProtocolError) as error:
        read(*flood)
    assert error.value.code == frames.ENHANCE_YOUR_CALM


def test_a_block_that_only_changes_the_table_size_is_refused():
    with pytest.raises(GrpcProtocolError):
        read(frame(frames.HEADERS, frames.END_HEADERS, 1, b"\x20" * 1000))


@pytest.mark.parametrize(
    "flags", [0, frames.PADDED, frames.WITH_PRIORITY, frames.PADDED | frames.WITH_PRIORITY]
)
def test_it_is_refused_behind_padding_priority_and_continuations_too(flags):
    before = bytes((1 if flags & frames.PADDED else 0) + (5 if flags & frames.WITH_PRIORITY else 0))
    first = frame(frames.HEADERS, flags, 1, before)
    rest = frame(frames.CONTINUATION, frames.END_HEADERS, 1, b"\x3f\xe1\x1f" * 3)
    with pytest.raises(GrpcProtocolError):
        read(first, rest)


def test_two_changes_of_the_table_size_are_honest():
    assert len(read(frame(frames.HEADERS, frames.END_HEADERS, 1, b"\x20\x3f\xe1\x1f\x88"))) == 1


def test_padding_is_taken_off():
    assert frames.unpadded(frames.PADDED, b"\x02abc\0\0") == b"abc"
    assert frames.unpadded(0, b"\x02abc") == b"\x02abc"


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x05abcd"])
def test_more_padding_than_there_is_room_for_is_refused(payload):
    with pytest.raises(GrpcProtocolError):
        frames.unpadded(frames.PADDED, payload)


def test_settings_that_nobody_knows_are_not_passed_on():
    known, unknown = b"\0\4\0\0\xff\xff", b"\xab\xcd\0\0\0\1"
    assert frames.known_settings(unknown + known + unknown + known) == known


def test_settings_of_a_wrong_length_are_refused():
    with pytest.raises(GrpcProtocolError):
        frames.known_settings(b"\0\4\0")


def test_goaway_says_what_it_was_given():
    assert frames.read_goaway(frames.goaway(7, 11, "too much")[9:]) == (7, 11, "too much")
    with pytest.raises(GrpcProtocolError):
        frames.read_goaway(b"\0\0\0\0")


def test_a_window_update_says_its_increment():
    assert frames.read_window_update(frames.window_update(3, 70_000)[9:]) == 70_000
    with pytest.raises(GrpcProtocolError):
        frames.read_window_update(b"\0")
