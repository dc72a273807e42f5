"""The engine of one watch: what of its bytes goes to the client, and from where it can go on after a break.

    beginning  ADDED events tell what is there already, in no order: a break cannot be repaired
    following  every event has been said in order up to `version`
    adrift     the last event told no version, for it was too large or too deep to be read: a break cannot be repaired
    lost       these are no events that anybody here can read: everything passes as it is, for good
    over       the server said ERROR: it will end, and nothing follows

An event that is not whole yet is held, so that a break drops it and nobody sees half of one. One that is too large to
be held passes as it comes; a break in the middle of that is `torn` for the client, too.
"""

from __future__ import annotations

import enum

from kasbah.wire.watch.encoding import Encoding
from kasbah.wire.watch.events import INITIAL_EVENTS_END, DeepEventError, UnreadableEventError
from kasbah.wire.watch.framing import UnreadableFramingError
from kasbah.wire.watch.target import WatchQuery


class Progress(enum.Enum):
    """How far a watch has come; see above."""

    BEGINNING = "beginning"
    FOLLOWING = "following"
    ADRIFT = "adrift"
    LOST = "lost"
    OVER = "over"


class WatchFollower:
    """Follows one watch over all the streams that carry it.

    Attributes:
        encoding: of this watch, for as long as it lasts.
        progress: whether, and why not, it can be resumed now.
        version: the newest that the client has seen or need not see; meant when `progress` is FOLLOWING.
        held: bytes of an event that is not whole yet.
        oversized: events that were too large to be held, so far.
        bookmarked: BOOKMARK events have come, so more are to be expected.
        events: how many whole events have come.
    """

    __slots__ = (
        "_bookmarks_wanted",
        "_parts",
        "_passing",
        "_scanner",
        "_until_annotated",
        "bookmarked",
        "encoding",
        "events",
        "held",
        "oversized",
        "progress",
        "version",
    )

    def __init__(self, encoding: Encoding, query: WatchQuery) -> None:
        self.encoding = encoding
        self.version = query.version if query.is_exact else ""
        if query.is_exact:
            self.progress = Progress.FOLLOWING
        elif query.begins_with_state:
            self.progress = Progress.BEGINNING
        else:
            self.progress = Progress.ADRIFT  # at the newest version, whichever that is: the first event tells
        self.held = self.oversized = self.events = 0
        self.bookmarked = False
        self._bookmarks_wanted = query.bookmarks
        self._until_annotated = bool(query.initial_events)
        self._scanner = encoding.scanner()
        self._parts: list[bytes] = []
        self._passing = False

    def _is_lost(self) -> bool:
        return self.progress is Progress.LOST

    @property
    def torn(self) -> bool:
        """The client has a part of an event."""
        return self._passing or self._is_lost()

    def receive(self, data: bytes, max_held: int) -> bytes:
        """What of the next bytes goes to the client, and of those that were held; whole events, in order.

        Args:
            data: the next bytes, in any pieces.
            max_held: an event that is larger passes as it comes.
        """
        if self._is_lost():
            return data
        size = len(data)
        end = self._end_of_event(data, 0)
        if end == size and not self.held and not self._passing:  # what a watch mostly is: one event at a time
            return data if self._keeps(data) else b""
        kept: list[bytes] = []
        start = 0
        while end:
            self._whole(data[start:end], kept)
            start, end = end, self._end_of_event(data, end) if end < size else 0
        if self._is_lost():
            kept.append(self._release() + data[start:])
        elif start < size:
            self._hold(data[start:], max_held, kept)
        return b"".join(kept)

    def surrender(self) -> bytes:
        """What is held, as it is: these were no events, and nothing more comes."""
        return self._release()

    def broken(self) -> None:
        """The stream broke off: drop what is not whole. The next bytes begin a new event."""
        self._parts.clear()
        self.held = 0
        self._passing = False
        self._scanner = self.encoding.scanner()

    def _end_of_event(self, data: bytes, start: int) -> int:
        try:
            return self._scanner.end_of_event(data, start)
        except UnreadableFramingError:
            self.progress = Progress.LOST
            return 0

    def _whole(self, last: bytes, kept: list[bytes]) -> None:
        """An event has its last bytes."""
        if self._passing:
            self._passing = False
            kept.append(last)
            return
        if self.held:
            self._parts.append(last)
            last = self._release()
        if self._keeps(last):
            kept.append(last)

    def _hold(self, data: bytes, max_held: int, kept: list[bytes]) -> None:
        if self._passing:
            kept.append(data)
            return
        self._parts.append(data)
        self.held += len(data)
        if self.held > max_held:
            kept.append(self._release())
            self._passing = True
            self.oversized += 1
            self._versionless()

    def _release(self) -> bytes:
        held = b"".join(self._parts)
        self._parts.clear()
        self.held = 0
        return held

    def _keeps(self, event: bytes) -> bool:
        """Take note of one whole event; whether the client gets it."""
        try:
            event_type, version = self.encoding.read(event)
        except DeepEventError:
            self.events += 1
            self._versionless()
            return True
        except UnreadableEventError:
            self.progress = Progress.LOST
            return True
        self.events += 1
        if event_type == "ERROR":
            self.progress = Progress.OVER
            return True
        self.version = version
        if self.progress is Progress.ADRIFT or (
            self.progress is Progress.BEGINNING and self._is_begun(event_type, event)
        ):
            self.progress = Progress.FOLLOWING
        if event_type != "BOOKMARK":
            return True
        self.bookmarked = True
        return self._bookmarks_wanted

    def _versionless(self) -> None:
        """An event passes that nobody has read: until the next, nobody knows from where to go on."""
        if self.progress is Progress.FOLLOWING:
            self.progress = Progress.ADRIFT

    def _is_begun(self, event_type: str, event: bytes) -> bool:
        """Whether this event comes behind all that tell what is there already."""
        if self._until_annotated:
            return event_type == "BOOKMARK" and INITIAL_EVENTS_END in event
        return event_type != "ADDED"
