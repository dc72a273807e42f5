"""Joins two streams into one: what passes through a kas in between.

Heads, data, ends and resets go through as they come. A reader's window is given back only as the other stream's queue
drains, so whoever is slow at one end stops the writer at the other, and in between waits at most one window and one
queue each way.
"""

from __future__ import annotations

from collections.abc import Callable

from kasbah.wire.stream import ResetCode, Stream, StreamHandler


def splice(caller: Stream, open_onward: Callable[[StreamHandler], Stream | None]) -> StreamHandler | None:
    """Join a caller's stream to one that `open_onward` opens for the given handler.

    The answer handles the caller's stream from now on; None when there was nothing to open.
    """
    backward = _End(caller, lost_as=ResetCode.CONNECTION_LOST)
    onward = open_onward(backward)
    if onward is None:
        return None
    forward = _End(onward, lost_as=ResetCode.CANCELLED)
    backward.begin(onward, forward)
    forward.begin(caller, backward)
    return forward


class _End:
    """Handler of one of the two streams: hands on to the other what it hears."""

    __slots__ = ("_lost_as", "_other", "_other_end", "_owed", "_own")

    def __init__(self, other: Stream, *, lost_as: ResetCode) -> None:
        """That the connection under our own stream is lost reaches the other as `lost_as`."""
        self._other = other
        self._lost_as = lost_as
        self._own: Stream | None = None
        self._other_end: _End | None = None
        self._owed = 0

    def begin(self, own: Stream, other_end: _End) -> None:
        """Now there are both."""
        self._own, self._other_end = own, other_end

    def head_received(self, head: bytes) -> None:
        self._other.send_head(head)

    def data_received(self, data: bytes) -> None:
        self._owed += len(data)
        if self._other.send(data):
            self.give_back()

    def ended(self) -> None:
        self._other.end()

    def reset(self, code: int, message: str) -> None:
        self._other.reset(self._lost_as if code == ResetCode.CONNECTION_LOST else code, message)

    def writable(self) -> None:
        if self._other_end is not None:
            self._other_end.give_back()

    def give_back(self) -> None:
        """What we gave the other stream has left its queue, or soon will."""
        if self._own is not None:
            owed, self._owed = self._owed, 0
            self._own.consumed(owed)
