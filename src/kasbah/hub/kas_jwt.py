"""The proof that kas is calling: a JWT in `Gitlab-Kas-Api-Request`, signed with the secret both share.

HS256 only, issuer, audience and expiry required: a token of another algorithm, of another issuer, or without an end
is refused, and so is one that is too long to be kas'.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.requests import Request

from kasbah.hub.rest.errors import KasCredentialError
from kasbah.kit import shared_secret
from kasbah.kit.jwt import JwtCheck, JwtError
from kasbah.kit.secrets import Secret

HEADER: Final = "gitlab-kas-api-request"


class KasJwtCheck:
    """Lets kas in and nobody else.

    Args:
        secret: base64 of 32 bytes, as GitLab's `.gitlab_kas_secret` file holds them.
        now: seconds since 1970.
    """

    def __init__(self, secret: Secret, now: Callable[[], float]) -> None:
        self._check = JwtCheck(
            secret=shared_secret.decode(secret), audience="gitlab", issuer="gitlab-kas", algorithms=("HS256",)
        )
        self._now = now

    def __call__(self, request: Request) -> None:
        """Raises KasCredentialError unless kas is calling."""
        given = request.headers.getlist(HEADER)
        try:
            if len(given) != 1:
                raise JwtError("one token is expected")
            self._check.check(Secret(given[0]), self._now())
        except JwtError as error:
            raise KasCredentialError from error
