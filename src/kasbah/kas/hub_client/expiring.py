"""A small memory of answers: each is forgotten after its time, and the oldest when there are too many.

Refusals are answers too; that nobody answered is none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from kasbah.kas.hub_client.errors import (
    HubError,
    HubForbiddenError,
    HubNotFoundError,
    HubUnauthenticatedError,
)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_REFUSALS: Final = (HubUnauthenticatedError, HubForbiddenError, HubNotFoundError)


class ExpiringCache(Generic[K, V]):
    """Holds at most `max_entries`, the newest ones."""

    def __init__(self, clock: Callable[[], float], max_entries: int) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value, unless its time is over."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        expires_at, value = entry
        if self._clock() >= expires_at:
            del self._entries[key]
            return None
        return value

    def put(self, key: K, value: V, ttl_s: float) -> None:
        """Remember the value for that long."""
        self._entries.pop(key, None)
        while len(self._entries) >= self._max_entries:
            self._entries.popitem(last=False)
        self._entries[key] = (self._clock() + ttl_s, value)


class AnswerMemory(Generic[K, V]):
    """Asks, unless the answer to the same question is remembered.

    Args:
        clock: seconds since whenever.
        max_entries: how many answers are remembered.
        ttl_s: how long a good answer is.
        error_ttl_s: how long a refusal is.
    """

    def __init__(
        self, clock: Callable[[], float], max_entries: int, *, ttl_s: float, error_ttl_s: float
    ) -> None:
        self._answers = ExpiringCache[K, V | HubError](clock, max_entries)
        self._ttl_s = ttl_s
        self._error_ttl_s = error_ttl_s

    async def get(self, key: K, ask: Callable[[], Awaitable[V]], *, fresh: bool = False) -> V:
        """The remembered answer, or that of `ask`; with `fresh` always the latter.

        Raises:
            HubError: the Git side refused, now or not long ago; or as `ask` raises.
        """
        answer = None if fresh else self._answers.get(key)
        if answer is None:
            try:
                answer = await ask()
            except _REFUSALS as refusal:
                self._answers.put(key, refusal, self._error_ttl_s)
                raise
            self._answers.put(key, answer, self._ttl_s)
        if isinstance(answer, HubError):
            raise type(answer)(str(answer))  # a new one: a traceback belongs to one call
        return answer
