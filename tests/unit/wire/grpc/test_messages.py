"""Length-prefixed messages."""

from __future__ import annotations

import gzip
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.wire.grpc.messages import LARGE_INFLATED, MessageAssembler, frame_message
from kasbah.wire.rpc import RpcError, StatusCode

LIMIT = 100_000


def prefixed(flag: int, body: bytes) -> bytes:
    return bytes([flag]) + len(body).to_bytes(4, "big") + body


def take_all(assembler: MessageAssembler) -> list[bytes]:
    messages = []
    while (message := assembler.next()) is not None:
        messages.append(message)
    assembler.keep()
    return messages


@given(st.lists(st.binary(max_size=3000), max_size=5), st.lists(st.integers(0, 20_000)), st.booleans())
def test_messages_arrive_however_the_bytes_are_cut(messages, cuts, compressed):
    data = b"".join(piece for message in messages for piece in frame_message(message, gzip=compressed))
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    assembler = MessageAssembler(LIMIT, gzip=True)
    heard = []
    for begin, end in itertools.pairwise(edges):
        assembler.feed(memoryview(data)[begin:end])
        heard += take_all(assembler)
    assert heard == messages
    assert len(assembler) == 0


def test_what_is_not_asked_for_waits():
    assembler = MessageAssembler(LIMIT, gzip=False)
    assembler.feed(prefixed(0, b"one") + prefixed(0, b"two") + b"\0\0")
    assert assembler.next() == b"one"
    assembler.keep()
    assembler.feed(b"\0\0\3end")
    assert take_all(assembler) == [b"two", b"end"]


def test_a_small_message_is_not_compressed():
    assert frame_message(bytes(1023), gzip=True)[0][0] == 0


def test_a_large_message_is_compressed_when_that_helps():
    (piece,) = frame_message(bytes(50_000), gzip=True)
    assert piece[0] == 1
    assert len(piece) < 1000
    noise = random.Random(1).randbytes(50_000)
    assert frame_message(noise, gzip=True) == [prefixed(0, noise)[:5], noise]


def fails(data: bytes, *, compressed: bool = True) -> StatusCode:
    assembler = MessageAssembler(LIMIT, gzip=compressed)
    assembler.feed(data)
    with pytest.raises(RpcError) as error:
        take_all(assembler)
    return error.value.code


def test_a_message_over_the_limit_fails_by_its_prefix_alone():
    assert fails(b"\0" + (LIMIT + 1).to_bytes(4, "big")) is StatusCode.RESOURCE_EXHAUSTED


def test_a_bomb_is_not_unpacked_beyond_the_limit():
    assert fails(prefixed(1, gzip.compress(bytes(50_000_000)))) is StatusCode.RESOURCE_EXHAUSTED


def test_a_message_of_exactly_the_limit_is_taken():
    assembler = MessageAssembler(LIMIT, gzip=True)
    assembler.feed(prefixed(1, gzip.compress(bytes(LIMIT))) + prefixed(0, bytes(LIMIT)))
    assert take_all(assembler) == [bytes(LIMIT)] * 2


def test_what_decompressing_large_messages_costs_is_told_and_may_be_too_much():
    told = []

    def inflating(size: int) -> bool:
        told.append(size)
        return sum(told) < 30_000

    assembler = MessageAssembler(LIMIT, gzip=True, inflating=inflating)
    large, small = prefixed(1, gzip.compress(bytes(LIMIT))), prefixed(1, gzip.compress(bytes(LARGE_INFLATED)))
    assembler.feed(large + small + large)
    assert (assembler.next(), assembler.next()) == (bytes(LIMIT), bytes(LARGE_INFLATED))
    with pytest.raises(RpcError) as error:
        assembler.next()
    assert error.value.code is StatusCode.RESOURCE_EXHAUSTED
    assert told == [0, LIMIT - LARGE_INFLATED - 1, 0]


def test_a_malformed_prefix_is_an_error():
    assert fails(prefixed(2, b"x")) is StatusCode.INTERNAL


def test_compression_nobody_agreed_on_is_an_error():
    assert fails(prefixed(1, gzip.compress(b"x")), compressed=False) is StatusCode.INTERNAL


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not gzip",
        gzip.compress(b"x", mtime=0)[:-4],
        gzip.compress(b"x", mtime=0) + b"more",
        gzip.compress(b"x", mtime=0)[:-4] + bytes(4),
    ],
)
def test_what_is_not_one_whole_gzip_member_is_an_error(body):
    assert fails(prefixed(1, body)) is StatusCode.INTERNAL


def test_cleared_it_holds_nothing():
    assembler = MessageAssembler(LIMIT, gzip=False)
    assembler.feed(b"\0\0")
    assembler.clear()
    assert len(assembler) == 0
