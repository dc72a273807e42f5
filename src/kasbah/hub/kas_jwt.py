"""The proof that kas is calling: a JWT in `Gitlab-Kas-Api-Request`, signed with the secret both share.

HS256 only, issuer, audience and expiry required: a token of another algorithm, of another issuer, or without an end
is refused, and so is one that is too long to be kas'.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.requests import Request

from kasbah.errors import UserError
from kasbah.hub.rest.errors import KasCredentialError
from kasbah.kit import private_file
from kasbah.kit.secrets import Secret

HEADER: Final = "gitlab-kas-api-request"
_LONGEST: Final = 4096
_CLOCK_SKEW_S: Final = 5
_SECRET_BYTES: Final = 32


class KasJwtCheck:
    """Lets kas in and nobody else.

    Args:
        secret: base64 of 32 bytes, as GitLab's `.gitlab_kas_secret` file holds them.
        now: seconds since 1970.
    """

    def __init__(self, secret: Secret, now: Callable[[], float]) -> None:
        self._key = OctKey.import_key(decode_secret(secret))
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


def decode_secret(secret: Secret) -> bytes:
    """The 32 bytes.

    Raises:
        UserError: the text is not base64 of 32 bytes.
    """
    try:
        decoded = base64.b64decode(secret.reveal().strip(), validate=True)
    except ValueError as error:  # not base64, or not even ASCII
        raise UserError("the secret shared with kas must be base64 of 32 random bytes") from error
    if len(decoded) != _SECRET_BYTES:
        raise UserError(
            f"the secret shared with kas must be base64 of 32 random bytes, and this is of {len(decoded)}"
        )
    return decoded


def ensure_secret_file(path: Path) -> Secret:
    """The secret in the file, base64 as GitLab keeps it; made when there is none.

    Raises:
        UserError: the file holds something else.
    """
    if not path.exists():
        private_file.write(path, base64.b64encode(secrets.token_bytes(_SECRET_BYTES)) + b"\n")
    secret = Secret(path.read_text("ascii", errors="replace").strip())
    try:
        decode_secret(secret)
    except UserError as error:
        raise UserError(f"{path}: {error}; remove the file to have a new one made") from error
    return secret
