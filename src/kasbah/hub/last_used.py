"""When a token was last used: kept in memory, written to the database seldom.

Every authenticated call notes the time; the column is written at most once per random 40 to 55 minutes and token, as
GitLab does, so that a busy agent costs no write. Readers take the newer of both. Nothing here knows SQL: whoever asks
`note` and hears True writes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_SHORTEST = timedelta(minutes=40)
_SPREAD = timedelta(minutes=15)
_MOST_TOKENS = 20_000


@dataclass(slots=True)
class _Use:
    at: datetime
    written_at: datetime | None
    write_after: timedelta


@dataclass(slots=True)
class LastUsed:
    """The last use of each token of one kind."""

    random: Callable[[], float]
    """Uniform in [0, 1): spreads the writes of tokens that started together."""
    _uses: dict[int, _Use] = field(default_factory=dict)

    def note(self, token_id: int, now: datetime, stored: datetime | None) -> bool:
        """The token was used; whether the database is due to be written (and counts as written from now on)."""
        use = self._uses.get(token_id)
        if use is None:
            self._make_room()
            use = self._uses[token_id] = _Use(now, stored, _SHORTEST + self.random() * _SPREAD)
        use.at = now
        if use.written_at is not None and now - use.written_at < use.write_after:
            return False
        use.written_at = now
        use.write_after = _SHORTEST + self.random() * _SPREAD
        return True

    def newest(self, token_id: int, stored: datetime | None) -> datetime | None:
        """The last use known, from memory or the given column."""
        use = self._uses.get(token_id)
        if use is None or (stored is not None and stored > use.at):
            return stored
        return use.at

    def forget(self, token_id: int) -> None:
        self._uses.pop(token_id, None)

    def unwritten(self) -> dict[int, datetime]:
        """What the database does not know yet: to be written when the program ends."""
        return {key: use.at for key, use in self._uses.items() if use.written_at != use.at}

    def _make_room(self) -> None:
        """The oldest entry goes: the bound costs at most one extra write."""
        if len(self._uses) >= _MOST_TOKENS:
            del self._uses[next(iter(self._uses))]
