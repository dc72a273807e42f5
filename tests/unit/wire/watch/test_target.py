from __future__ import annotations

import pytest

from kasbah.wire.watch.target import read_query, resumed, with_bookmarks

PODS = b"/api/v1/namespaces/a/pods"


@pytest.mark.parametrize(
    ("query", "exact", "state"),
    [
        (b"watch=1", False, True),
        (b"watch=1&resourceVersion=", False, True),
        (b"watch=1&resourceVersion=0", False, True),
        (b"watch=1&resourceVersion=12", True, False),
        (b"watch=1&resourceVersion=12&sendInitialEvents=true", False, True),
        (b"watch=1&resourceVersion=12&sendInitialEvents=false", True, False),
        (b"watch=1&sendInitialEvents=0", False, False),
        (b"watch=1&resource%56ersion=12&resourceVersion=0", True, False),
    ],
)
def test_a_watch_begins_with_a_version_or_with_what_is_there(query: bytes, exact: bool, state: bool):
    read = read_query(PODS + b"?" + query)
    assert (read.is_exact, read.begins_with_state) == (exact, state)


@pytest.mark.parametrize(
    ("query", "bookmarks", "timeout_s"),
    [
        (b"", False, 0),
        (b"allowWatchBookmarks&timeoutSeconds=30", True, 30),
        (b"allowWatchBookmarks=true&timeoutSeconds=30&timeoutSeconds=40", True, 30),
        (b"allowWatchBookmarks=False&timeoutSeconds=-3", False, 0),
        (b"allowWatchBookmarks=0&timeoutSeconds=99999999999999999999", False, 0),
    ],
)
def test_bookmarks_and_time_are_read_as_the_api_server_reads_them(
    query: bytes,
    bookmarks: bool,
    timeout_s: int,
):
    read = read_query(PODS + b"?" + query)
    assert (read.bookmarks, read.timeout_s) == (bookmarks, timeout_s)


def test_bookmarks_are_added_and_every_other_byte_stays():
    target = PODS + b"?labelSelector=a%3Db%2Cc&&allowWatchBookmarks=false&watch=1&x"
    assert with_bookmarks(target) == PODS + b"?labelSelector=a%3Db%2Cc&watch=1&x&allowWatchBookmarks=true"
    assert with_bookmarks(b"/api/v1/watch/pods") == b"/api/v1/watch/pods?allowWatchBookmarks=true"


def test_a_resumed_watch_says_where_it_goes_on_and_nothing_of_its_beginning():
    asked = b"?watch=1&resource%56ersion=3&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&=&timeoutSeconds=9"
    again = PODS + b"?watch=1&=&resourceVersion=7%2B8&allowWatchBookmarks=true"
    assert resumed(PODS + asked, "7+8", 0) == again
    assert resumed(PODS + asked, "7+8", 4) == again + b"&timeoutSeconds=4"
    assert read_query(resumed(PODS + asked, "7", 4)).is_exact
