"""The proof that kas is calling: a JWT in `Gitlab-Kas-Api-Request`, signed with the secret both share.

HS256 only, issuer, audience and expiry required: a token of another algorithm, of another issuer, or without an end
is refused, and so is one that is too long to be kas'.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.requests import Request

from kasbah.hub.rest.errors import KasCredentialError
from kasbah.kit import shared_secret
from kasbah.kit.secrets import Secret

HEADER: Final = "gitlab-kas-api-request"
_LONGEST: Final = 4096
_CLOCK_SKEW_S: Final = 5


class KasJwtCheck:
    """Lets kas in and nobody else.

    Args:
        secret: base64 of 32 bytes, as GitLab's `.gitlab_kas_secret` file holds them.
        now: seconds since 1970.
    """

    def __init__(self, secret: Secret, now: Callable[[], float]) -> None:
        self._key = OctKey.import_key(shared_secret.decode(secret))
        self._now = now

    def __call__(self, request: Request) -> None:
        """Raises KasCredentialError unless kas is calling."""
        text = request.headers.get(HEADER, "")
        if not text or len(text) > _LONGEST:
            raise KasCredentialError
        # Claims are checked at this very moment, so the registry is made for each request.
        claims = jwt.JWTClaimsRegistry(
            now=lambda: int(self._now()),
            leeway=_CLOCK_SKEW_S,
            iss={"essential": True, "value": "gitlab-kas"},
            aud={"essential": True, "value": "gitlab"},
            exp={"essential": True},
        )
        try:
            claims.validate(jwt.decode(text, self._key, algorithms=["HS256"]).claims)
        except (JoseError, ValueError, TypeError) as error:
            raise KasCredentialError from error
