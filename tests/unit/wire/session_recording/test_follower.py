from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasbah.wire.session_recording.asciicast import About
from kasbah.wire.session_recording.follower import FULL, Carrier, SessionFollower
from tests.doubles.session_bytes import SpdyClient, data, typed, written

ABOUT = About(timestamp=1700000000, title="mia", command="sh")
LIMIT = 100_000


def follow(
    carrier: Carrier = "websocket", *, with_input: bool = True, max_bytes: int = LIMIT
) -> SessionFollower:
    return SessionFollower(carrier, ABOUT, 100.0, with_input=with_input, max_bytes=max_bytes)


def lines(*told: bytes) -> list[Any]:
    return [json.loads(line) for line in b"".join(told).splitlines()]


def test_a_session_is_a_header_and_events_with_their_time():
    it = follow()
    header, *events = lines(
        it.from_cluster(written(1, b"$ "), 100.5),
        it.from_client(typed(0, b"ls\n"), 101),
        it.from_cluster(written(2, b"no\r\n"), 101.25),
        it.end(102),
    )
    assert (header["width"], header["height"], header["title"]) == (80, 24, "mia")
    assert events == [[0.5, "o", "$ "], [1, "i", "ls\n"], [1.25, "o", "no\r\n"]]


def test_spdy_is_told_alike():
    it = follow("spdy")
    opening = it.from_client(SpdyClient().session(), 100)
    told = lines(opening, it.from_cluster(data(5, b"a"), 101), it.end(101))
    assert told[1:] == [[1, "o", "a"]]


def test_a_size_told_first_is_the_headers_and_later_ones_are_events():
    it = follow()
    size = b'{"Width":100,"Height":30}\n'
    told = lines(
        it.from_client(typed(4, size), 100),
        it.from_client(typed(4, b'{"Width":120,"Hei'), 101),
        it.from_client(typed(4, b'ght":40}\n{"Width":1,"Height":2}'), 102),
    )
    assert (told[0]["width"], told[0]["height"]) == (100, 30)
    assert told[1:] == [[2, "r", "120x40"], [2, "r", "1x2"]]


@pytest.mark.parametrize(
    "size",
    [b"{}", b"x}", b'{"Width":0,"Height":1}', b'{"Width":1,"Height":true}', b'{"Width":70000,"Height":1}', b'[1]}', b"\xff}", b'{"Width":"1","Height":1}'],
)  # fmt: skip
def test_what_is_no_size_is_passed_over(size):
    it = follow()
    assert it.from_client(typed(4, size), 100) == b""
    assert it.following


def test_letters_that_are_cut_in_two_are_one():
    it = follow()
    told = lines(
        it.from_cluster(written(1, "€".encode()[:1]), 100),
        it.from_cluster(written(2, b"x"), 101),
        it.from_cluster(written(1, "€".encode()[1:]), 102),
        it.from_cluster(written(1, "€".encode()[:2]), 103),
        it.end(104),
    )
    assert told[1:] == [[1, "o", "x"], [2, "o", "€"], [4, "o", "\ufffd"]]


def test_a_session_without_a_word_has_a_header_too():
    it = follow()
    assert [line["version"] for line in lines(it.end(101))] == [2]
    assert it.end(102) == b""
    assert it.from_cluster(written(1, b"late"), 103) == b""


def test_what_is_not_understood_ends_with_a_marker():
    it = follow()
    told = lines(
        it.from_cluster(written(1, b"a") + b"\xff" * 14, 101),
        it.from_cluster(written(1, b"b"), 102),
        it.end(103),
    )
    assert told[1:] == [
        [1, "o", "a"],
        [1, "m", "the recording ends here: a WebSocket frame is compressed, or masked the wrong way"],
    ]
    assert (it.following, it.understood) == (False, False)


def test_an_endless_size_ends_the_recording():
    it = follow()
    told = lines(it.from_client(typed(4, b"[" * 5000), 100))
    assert told[-1][1:] == ["m", "the recording ends here: a terminal's size is too large to be one"]


def test_a_file_is_never_larger_than_it_may_be():
    it = follow(max_bytes=1000)
    told = b"".join(it.from_cluster(written(1, b"x" * 100), 100) for _ in range(100))
    assert lines(told)[-1] == [0, "m", FULL]
    assert len(told) < 1000 + 200
    assert (it.following, it.understood) == (False, True)


def test_it_may_be_stopped_with_a_reason_once():
    it = follow()
    assert lines(it.stop("why", 101))[1:] == [[1, "m", "why"]]
    assert it.stop("again", 102) == b""


SPDY_SESSION = SpdyClient().session() + data(3, b"typed") + data(9, b'{"Width":1,"Height":2}')
WEBSOCKET_SESSION = typed(4, b'{"Width":1,"Height":2}') + typed(0, b"typed") * 5
PIECES = st.lists(st.tuples(st.booleans(), st.binary(max_size=200)), max_size=20)


@settings(deadline=None)
@given(PIECES, st.sampled_from(["websocket", "spdy"]), st.integers(0, 5000))
def test_no_bytes_break_it_or_fill_more_than_the_file(pieces, carrier, max_bytes):
    it = follow(carrier, max_bytes=max_bytes)
    told = b""
    for number, (from_client, piece) in enumerate(pieces):
        told += (it.from_client if from_client else it.from_cluster)(piece, 100 + number)
    told += it.end(200)
    assert len(told) <= max_bytes + 500
    assert lines(told)[0]["version"] == 2


@settings(deadline=None)
@given(st.data(), st.sampled_from([("websocket", WEBSOCKET_SESSION), ("spdy", SPDY_SESSION)]))
def test_a_session_with_some_bytes_changed_does_not_break_it(changes, session):
    carrier, stream = session
    broken = bytearray(stream)
    for _ in range(changes.draw(st.integers(1, 5))):
        broken[changes.draw(st.integers(0, len(broken) - 1))] = changes.draw(st.integers(0, 255))
    it = follow(carrier)
    step = changes.draw(st.integers(1, len(broken)))
    told = b"".join(it.from_client(bytes(broken[at : at + step]), 100) for at in range(0, len(broken), step))
    told += it.end(101)
    assert lines(told)[0]["version"] == 2
