"""Compressed request bodies."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.gitrepo.errors import BadGitRequestError, RequestTooLargeError
from kasbah.gitrepo.inflate import Inflater


@given(st.binary(max_size=400_000), st.integers(min_value=1, max_value=5000))
def test_what_was_compressed_comes_back_in_bounded_pieces(content, step):
    packed = gzip.compress(content)
    inflater = Inflater(max_bytes=len(content))
    pieces = [piece for at in range(0, len(packed), step) for piece in inflater.feed(packed[at : at + step])]
    inflater.finish()
    assert b"".join(pieces) == content
    assert all(0 < len(piece) <= 64 << 10 for piece in pieces)


def test_pieces_that_fill_exactly_are_not_lost():
    content = b"\0" * (64 << 10) * 3
    inflater = Inflater(max_bytes=len(content))
    assert b"".join(inflater.feed(gzip.compress(content))) == content
    inflater.finish()


def test_a_bomb_stops_at_the_cap():
    bomb = gzip.compress(b"\0" * (50 << 20))
    inflater = Inflater(max_bytes=1 << 20)
    with pytest.raises(RequestTooLargeError, match="more than 1048576 bytes"):
        list(inflater.feed(bomb))


def test_something_else_is_refused():
    with pytest.raises(BadGitRequestError, match="not gzip"):
        list(Inflater(max_bytes=100).feed(b"PACK"))


def test_a_second_member_is_refused():
    with pytest.raises(BadGitRequestError, match="follow the end"):
        list(Inflater(max_bytes=100).feed(gzip.compress(b"a") + gzip.compress(b"b")))


def test_a_cut_off_body_is_refused():
    inflater = Inflater(max_bytes=100)
    list(inflater.feed(gzip.compress(b"0000")[:-1]))
    with pytest.raises(BadGitRequestError, match="cut off"):
        inflater.finish()


def test_no_bytes_are_no_pieces():
    assert list(Inflater(max_bytes=1).feed(b"")) == []
