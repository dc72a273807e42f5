"""What several calls want to know at the same time is asked once.

A question says since when an answer counts: an answer is as old as the moment its look began, not when it came. So who
asks because of a push never gets what was true before it, and however many ask at once there are two looks at most: the
one that runs, and the one that all who came meanwhile share. A look that failed has failed for all it would have
answered; they do not queue up to fail one after the other.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from kasbah.errors import KasbahError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Seen(Generic[V]):
    began_at: float
    outcome: V | KasbahError


@dataclass(slots=True)
class _Entry(Generic[V]):
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    seen: _Seen[V] | None = None


class SharedLooks(Generic[K, V]):
    """The last look at each thing; remembers at most `max_entries` of them."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()

    async def get(self, key: K, look: Callable[[], Awaitable[V]], *, since: float) -> V:
        """What a look found that began at `since`, in the loop's time, or later; `look` if there was none.

        Raises:
            KasbahError: that look failed.
        """
        entry = self._entries.setdefault(key, _Entry())
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
        async with entry.turn:
            if entry.seen is None or entry.seen.began_at < since:
                entry.seen = await _look(look)
            outcome = entry.seen.outcome
        if isinstance(outcome, KasbahError):
            raise outcome.with_traceback(None)
        return outcome


async def _look(look: Callable[[], Awaitable[V]]) -> _Seen[V]:
    began_at = asyncio.get_running_loop().time()
    try:
        return _Seen(began_at, await look())
    except KasbahError as error:
        return _Seen(began_at, error)
