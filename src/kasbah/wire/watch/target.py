"""What a watch asks for by its query, and the same request from a later version on; raw bytes stay as they are.

Parameters are read as the API server reads them: the first of several counts, and a boolean is true when it is there
and neither `false` nor `0`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import parse_qsl, quote_plus

import msgspec

_BOOKMARKS: Final = "allowWatchBookmarks"
_BEGINNING: Final = frozenset({"resourceVersion", "resourceVersionMatch", "sendInitialEvents"})


class WatchQuery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The parameters of a watch that say where it begins and ends."""

    version: str
    """`resourceVersion`; empty or `0` is no version to go on from."""
    initial_events: bool | None
    """`sendInitialEvents`, when it is said."""
    bookmarks: bool
    timeout_s: int
    """`timeoutSeconds`; 0 when the server chooses."""

    @property
    def begins_with_state(self) -> bool:
        """ADDED events in no order come first, for what is there already."""
        return not self.is_exact if self.initial_events is None else self.initial_events

    @property
    def is_exact(self) -> bool:
        """It begins behind a version that the client knows."""
        return self.version not in {"", "0"} and not self.initial_events


def read_query(target: bytes) -> WatchQuery:
    """The query of a watch's target."""
    said: dict[str, str] = {}
    for key, value in parse_qsl(target.partition(b"?")[2].decode("latin-1"), keep_blank_values=True):
        said.setdefault(key, value)
    timeout = said.get("timeoutSeconds", "")
    return WatchQuery(
        version=said.get("resourceVersion", ""),
        initial_events=_is_true(said, "sendInitialEvents") if "sendInitialEvents" in said else None,
        bookmarks=_is_true(said, _BOOKMARKS),
        timeout_s=int(timeout) if timeout.isascii() and timeout.isdigit() and len(timeout) < 10 else 0,
    )


def with_bookmarks(target: bytes) -> bytes:
    """The same watch with BOOKMARK events."""
    return _rewritten(target, {_BOOKMARKS}, b"allowWatchBookmarks=true")


def resumed(target: bytes, version: str, timeout_s: int) -> bytes:
    """The same watch behind this version, with BOOKMARK events and so much time left; 0: the server chooses."""
    said = b"resourceVersion=%b&allowWatchBookmarks=true" % quote_plus(version).encode()
    if timeout_s:
        said += b"&timeoutSeconds=%d" % timeout_s
    return _rewritten(target, {*_BEGINNING, _BOOKMARKS, "timeoutSeconds"}, said)


def _rewritten(target: bytes, without: Collection[str], said: bytes) -> bytes:
    path, _, query = target.partition(b"?")
    kept = [pair for pair in query.split(b"&") if pair and _key(pair) not in without]
    return path + b"?" + b"&".join([*kept, said])


def _key(pair: bytes) -> str:
    pairs = parse_qsl(pair.decode("latin-1"), keep_blank_values=True)
    return pairs[0][0] if pairs else ""


def _is_true(said: dict[str, str], key: str) -> bool:
    return key in said and said[key].lower() not in {"false", "0"}
