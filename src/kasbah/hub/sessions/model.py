"""A browser's session with kas, and the cookie that carries it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from urllib.parse import urlsplit

from kasbah.hub.errors import RefusedError
from kasbah.hub.identity import PersonalAccessToken
from kasbah.kit.secrets import Secret

COOKIE: Final = "_gitlab_kas"
"""GitLab's name; kas looks for it."""
PREFIX: Final = "glkas-"
CHARACTERS: Final = 50
LIFE: Final = timedelta(days=1)
MOST_OF_ONE_USER: Final = 50
"""A person's oldest session ends when one more begins."""

_VALUE = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9_-]{50}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session that begins; both values are known now and never again."""

    cookie: Secret
    csrf_token: Secret
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A session as the database knows it."""

    id: int
    user_id: int
    token_id: int | None
    """The personal access token it was begun with: it dies with it."""
    csrf_hash: str
    expires_at: datetime


def is_cookie(value: str) -> bool:
    """Whether this could be a value of ours."""
    return _VALUE.fullmatch(value) is not None


def end_of_life(now: datetime, token: PersonalAccessToken | None) -> datetime:
    """A day, and never longer than the token the session was begun with."""
    latest = now + LIFE
    if token is None or token.expires_at is None:
        return latest
    return min(latest, datetime.combine(token.expires_at, time.min, UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class CookiePlace:
    """Where a browser sends the cookie: to the proxy and nowhere else."""

    path: str
    domain: str | None
    secure: bool

    @classmethod
    def between(cls, hub_url: str, proxy_url: str) -> CookiePlace:
        """For a hub and a proxy of these addresses.

        Raises:
            RefusedError: a cookie of the hub's host is never sent to the proxy's.
        """
        hub, proxy = urlsplit(hub_url), urlsplit(proxy_url)
        hub_host, proxy_host = hub.hostname or "", proxy.hostname or ""
        below = proxy_host.endswith(f".{hub_host}")
        if not below and proxy_host != hub_host:
            raise RefusedError(
                f"{proxy_host} is neither {hub_host} nor below it: no cookie reaches the proxy"
            )
        return cls(
            path=proxy.path.rstrip("/") or "/",
            domain=hub_host if below else None,
            secure=hub.scheme == "https",
        )

    def header(self, value: str, lifetime: timedelta) -> str:
        """What `Set-Cookie` says; no lifetime: the browser forgets the cookie."""
        parts = [f"{COOKIE}={value}", f"Path={self.path}", f"Max-Age={int(lifetime.total_seconds())}"]
        if self.domain is not None:
            parts.append(f"Domain={self.domain}")
        if self.secure:
            parts.append("Secure")
        return "; ".join([*parts, "HttpOnly", "SameSite=Strict"])
