"""Who is calling: a user, the personal access token that shows it, and the two together.

Below every area, because every edge needs it. Pure records; the time comes in as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

UserState = Literal["active", "blocked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person with an account."""

    id: int
    username: str
    name: str
    email: str
    state: UserState
    is_admin: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalAccessToken:
    """A token without its value."""

    id: int
    user_id: int
    name: str
    description: str | None
    scopes: tuple[str, ...]
    revoked: bool
    expires_at: date | None
    """The token dies at 00:00 UTC of this date."""
    created_at: datetime
    last_used_at: datetime | None

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now.date() >= self.expires_at

    def is_active(self, now: datetime) -> bool:
        return not self.revoked and not self.is_expired(now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """A request carries an active token of an active user."""

    user: User
    token: PersonalAccessToken

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset(self.token.scopes)
