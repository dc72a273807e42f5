"""The JWT by which the Git side knows that kas is calling.

Signing costs tens of microseconds, so a token is used again for a while; it always has most of its life before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kasbah.kit import jwt

HEADER: Final = "Gitlab-Kas-Api-Request"
ISSUER: Final = "gitlab-kas"
AUDIENCE: Final = "gitlab"
LIFETIME_S: Final = 60
REUSE_S: Final = 20


class KasJwt:
    """Signs with the secret that kas and the Git side share (32 bytes, decoded)."""

    def __init__(self, secret: bytes, clock: Callable[[], float]) -> None:
        self._secret = secret
        self._clock = clock
        self._token = ""
        self._signed_at = float("-inf")

    def current(self) -> str:
        """A token that is valid now."""
        now = self._clock()
        if not 0 <= now - self._signed_at < REUSE_S:
            self._token = self._sign(int(now))
            self._signed_at = now
        return self._token

    def _sign(self, now: int) -> str:
        times = {"iat": now, "nbf": now - int(jwt.CLOCK_SKEW_S), "exp": now + LIFETIME_S}
        return jwt.sign({"iss": ISSUER, "aud": AUDIENCE, **times}, self._secret)
