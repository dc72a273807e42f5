from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasbah.wire.watch.encoding import CBOR, JSON, PROTOBUF, Encoding
from kasbah.wire.watch.follower import Progress, WatchFollower
from kasbah.wire.watch.target import WatchQuery
from tests.doubles.watch_events import cbor_event, json_bookmark, json_event, protobuf_event

EACH = [(JSON, json_event), (PROTOBUF, protobuf_event), (CBOR, cbor_event)]
ERROR = b'{"type":"ERROR","object":{"kind":"Status","metadata":{},"code":410}}\n'
MAX = 8 << 20


def query(
    version: str = "", *, initial: bool | None = None, bookmarks: bool = True, timeout_s: int = 0
) -> WatchQuery:
    return WatchQuery(version=version, initial_events=initial, bookmarks=bookmarks, timeout_s=timeout_s)


def follower(
    version: str = "", *, initial: bool | None = None, bookmarks: bool = True, encoding: Encoding = JSON
) -> WatchFollower:
    return WatchFollower(encoding, query(version, initial=initial, bookmarks=bookmarks))


@pytest.mark.parametrize(("encoding", "write"), EACH)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_each_event_is_said_once_and_in_order_wherever_the_stream_is_cut_and_breaks(
    encoding: Encoding,
    write: Callable[[str, int, str], bytes],
    data: st.DataObject,
):
    """A server with a history, a client, and between them streams that break anywhere."""
    types = data.draw(st.lists(st.sampled_from(["ADDED", "MODIFIED", "BOOKMARK"]), max_size=12))
    history = {
        100 + number: write(kind, 100 + number, "x" * data.draw(st.integers(0, 60)))
        for number, kind in enumerate(types)
    }
    wanted = b"".join(e for e, kind in zip(history.values(), types, strict=True) if kind != "BOOKMARK")
    it, got = follower("99", bookmarks=False, encoding=encoding), b""
    for breaks_at in [*data.draw(st.lists(st.integers(0, 400), max_size=6)), None]:
        said = b"".join(event for version, event in history.items() if version > int(it.version))[:breaks_at]
        while said:
            size = data.draw(st.integers(1, len(said)))
            got += it.receive(said[:size], MAX)
            said = said[size:]
        if breaks_at is not None:
            it.broken()
    assert got == wanted
    assert it.progress is Progress.FOLLOWING
    assert it.held == 0


def test_an_event_too_deep_to_be_read_passes_and_cannot_be_gone_on_from():
    it = follower("5")
    deep = json_event("MODIFIED", 6).replace(b'""', b'{"a":' * 10_000 + b"1" + b"}" * 10_000)
    assert it.receive(json_event("ADDED", 5) + deep, MAX) == json_event("ADDED", 5) + deep
    assert (it.progress, it.torn, it.events) == (Progress.ADRIFT, False, 2)
    it.receive(json_event("MODIFIED", 7), MAX)
    assert (it.progress, it.version) == (Progress.FOLLOWING, "7")


def test_an_event_too_deep_to_be_read_does_not_end_the_beginning():
    it = follower()
    it.receive(json_event("ADDED", 6).replace(b'""', b"[" * 10_000 + b"]" * 10_000), MAX)
    assert it.progress is Progress.BEGINNING


def test_an_event_is_held_until_it_is_whole_and_dropped_at_a_break():
    it, event = follower("1"), json_event("ADDED", 7)
    assert it.receive(event[:9], MAX) == b""
    assert it.held == 9
    it.broken()
    assert (it.held, it.version) == (0, "1")
    assert it.receive(event, MAX) == event
    assert it.version == "7"


def test_whole_events_pass_and_the_last_half_is_held():
    it = follower("1")
    first, second, third = (json_event("MODIFIED", version) for version in (2, 3, 4))
    assert it.receive(first + second + third[:5], MAX) == first + second
    assert it.receive(third[5:] + first, MAX) == third + first
    assert it.events == 4


@pytest.mark.parametrize("kind", ["MODIFIED", "DELETED", "BOOKMARK"])
def test_a_watch_without_a_version_can_be_resumed_once_the_state_is_told(kind: str):
    it = follower("0")
    it.receive(json_event("ADDED", 9) + json_event("ADDED", 5), MAX)
    assert it.progress is Progress.BEGINNING
    it.receive(json_event(kind, 10), MAX)
    assert (it.progress, it.version) == (Progress.FOLLOWING, "10")


def test_initial_events_end_with_the_annotated_bookmark_only():
    it = follower("3", initial=True)
    it.receive(json_event("ADDED", 9) + json_event("MODIFIED", 10) + json_bookmark(10), MAX)
    assert it.progress is Progress.BEGINNING
    it.receive(json_bookmark(11, initial_events_end=True), MAX)
    assert (it.progress, it.version) == (Progress.FOLLOWING, "11")


def test_a_watch_from_any_version_follows_from_its_first_event_on():
    it = follower(initial=False)
    assert it.progress is Progress.ADRIFT
    it.receive(json_event("ADDED", 9), MAX)
    assert (it.progress, it.version) == (Progress.FOLLOWING, "9")


def test_bookmarks_count_and_reach_only_who_asked_for_them():
    for wanted in (True, False):
        it, bookmark = follower("1", bookmarks=wanted), json_bookmark(8)
        assert it.receive(bookmark, MAX) == (bookmark if wanted else b"")
        assert (it.version, it.bookmarked) == ("8", True)


def test_an_event_that_is_too_large_passes_as_it_comes_and_costs_the_version_until_the_next():
    it, large, small = follower("1"), json_event("ADDED", 7, "x" * 300), json_event("ADDED", 8)
    assert it.receive(large[:90], 100) == b""
    assert it.receive(large[90:200], 100) == large[:200]
    assert (it.torn, it.progress, it.held, it.oversized) == (True, Progress.ADRIFT, 0, 1)
    assert it.receive(large[200:250], 100) == large[200:250]
    assert it.receive(large[250:] + small[:5], 100) == large[250:]
    assert (it.torn, it.progress) == (False, Progress.ADRIFT)
    assert it.receive(small[5:], 100) == small
    assert it.progress is Progress.FOLLOWING


def test_a_large_event_among_initial_ones_changes_nothing():
    it = follower("0")
    large = json_event("ADDED", 7, "x" * 300)
    it.receive(large[:200], 100)
    it.receive(large[200:], 100)
    assert it.progress is Progress.BEGINNING


def test_a_break_in_the_middle_of_a_large_event_is_the_end_of_it():
    it = follower("1")
    it.receive(json_event("ADDED", 7, "x" * 300)[:200], 100)
    it.broken()
    assert it.receive(json_event("ADDED", 8), 100) == json_event("ADDED", 8)


def test_what_is_held_can_be_had_as_it_is():
    it = follower("1")
    it.receive(b"{} without an end", MAX)
    assert (it.surrender(), it.held) == (b"{} without an end", 0)


def test_an_error_is_the_last_word():
    it = follower("1")
    assert it.receive(ERROR, MAX) == ERROR
    assert it.progress is Progress.OVER


@pytest.mark.parametrize("cut", [1, 6, 40])
def test_what_cannot_be_read_passes_byte_for_byte(cut: int):
    it, said = follower("1"), b'{\n "type": "ADDED",\n "object": {}\n}\n' * 2
    got = b"".join(it.receive(said[at : at + cut], MAX) for at in range(0, len(said), cut))
    assert got == said
    assert (it.progress, it.torn) == (Progress.LOST, True)


def test_bytes_that_are_no_cbor_pass_with_all_that_came_before():
    it = follower("1", encoding=CBOR)
    event = cbor_event("ADDED", 2)
    assert it.receive(event[:4], MAX) == b""
    assert it.receive(event[4:] + b"\xa1\xff\xff more", MAX) == event + b"\xa1\xff\xff more"
    assert it.receive(b"again", MAX) == b"again"
    assert it.progress is Progress.LOST
