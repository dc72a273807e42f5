"""How many of something one holder may have at a time, so that nobody takes all there is."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from kasbah.errors import UserError

K = TypeVar("K", bound=Hashable)


class NoSlotError(UserError):
    """The holder has as many as it may."""


class Slots(Generic[K]):
    """Counts by holder; forgets those who have none."""

    def __init__(self, each: int) -> None:
        """`each` is how many a holder may have."""
        self._each = each
        self._taken: dict[K, int] = {}

    @contextmanager
    def take(self, holder: K) -> Iterator[None]:
        """One slot, for the length of the block.

        Raises:
            NoSlotError: there is none left for this holder.
        """
        taken = self._taken.get(holder, 0)
        if taken >= self._each:
            raise NoSlotError(f"there are {self._each} already")
        self._taken[holder] = taken + 1
        try:
            yield
        finally:
            self._taken[holder] -= 1
            if not self._taken[holder]:
                del self._taken[holder]
