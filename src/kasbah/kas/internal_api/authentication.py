"""Who calls the internal API: somebody who signs with the Git side's secret, with a token for each call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kasbah.kit.jwt import JwtCheck, JwtError
from kasbah.kit.secrets import Secret
from kasbah.wire.rpc import Metadata

AUDIENCE: Final = "gitlab-kas"
_KEY: Final = "authorization"


class CallerCheck:
    """Lets the Git side in and nobody else; whoever it calls itself, for its issuer is not looked at."""

    def __init__(self, secret: bytes, now: Callable[[], float]) -> None:
        """`secret` is what both share, decoded; `now` is seconds since 1970."""
        self._check = JwtCheck(secret=secret, audience=AUDIENCE)
        self._now = now

    def __call__(self, metadata: Metadata) -> None:
        """Look at the one `authorization: bearer <jwt>` of a call.

        Raises:
            JwtError: there is none, or more than one, or it is not good.
        """
        given = [value for key, value in metadata if key == _KEY]
        if len(given) != 1:
            raise JwtError(f"{len(given)} credentials, and one is expected")
        scheme, _, token = given[0].partition(" ")
        if scheme.lower() != "bearer":
            raise JwtError("not a bearer token")
        self._check.check(Secret(token), self._now())
