"""Who may send next: deficit round robin over the stream classes.

While the connection takes everything, order hardly matters; when it is congested, a keystroke must not wait behind
a bulk download, and no class may starve. Each round gives every waiting class its quantum of bytes; inside a class
streams take turns, one frame each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from kasbah.wire.stream import StreamClass

S = TypeVar("S")

QUANTUM: Final = (128 * 1024, 64 * 1024, 64 * 1024, 32 * 1024)
"""Bytes a class may send per round, by `StreamClass`."""


class Scheduler(Generic[S]):
    """Streams with something to send, by class."""

    def __init__(self) -> None:
        self._waiting: tuple[deque[S], ...] = tuple(deque() for _ in StreamClass)
        self._deficit = [0] * len(StreamClass)
        self._turn = 0
        self._turn_begun = False
        self._count = 0

    def __bool__(self) -> bool:
        return self._count > 0

    def add(self, stream: S, stream_class: int) -> None:
        """The stream has something to send; the caller sees to it that it stands in line once."""
        self._waiting[stream_class].append(stream)
        self._count += 1

    def run(self, budget: int, emit: Callable[[S], tuple[int, int]]) -> None:
        """Let streams emit until nobody waits or about `budget` bytes are out; the next run goes on from there.

        `emit` writes one frame's worth and returns the bytes written and the class to wait in again, or -1 when the
        stream has nothing more to send now.
        """
        while self._count and budget > 0:
            turn = self._turn
            waiting = self._waiting[turn]
            if waiting and not self._turn_begun:
                self._deficit[turn] += QUANTUM[turn]
                self._turn_begun = True
            while waiting and self._deficit[turn] > 0 and budget > 0:
                stream = waiting.popleft()
                self._count -= 1
                size, again = emit(stream)
                self._deficit[turn] -= size
                budget -= size
                if again >= 0:
                    self.add(stream, again)
            if waiting and self._deficit[turn] > 0:
                return  # out of budget in the middle of a turn
            if not waiting:
                self._deficit[turn] = min(self._deficit[turn], 0)
            self._turn, self._turn_begun = (turn + 1) % len(self._waiting), False
