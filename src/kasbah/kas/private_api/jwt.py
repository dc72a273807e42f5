"""The proof that a kas of the same deployment is calling: a JWT signed with the private API's secret.

Made for each connection and good for seconds. Whoever checks wants one of three algorithms of one family, both names,
and all three times; what it does not understand it refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kasbah.errors import PeerError
from kasbah.kit import jwt
from kasbah.kit.jwt import CLOCK_SKEW_S, JwtCheck, JwtError
from kasbah.kit.secrets import Secret

NAME: Final = "gitlab-kas"
"""Issuer and audience both."""
LIFETIME_S: Final = 5
_LONGEST_LIFETIME_S: Final = 60


class NotAReplicaError(PeerError):
    """Whoever calls has not proved to be a kas of this deployment."""


class ReplicaJwt:
    """Signs and checks with the secret that all kas of a deployment share (32 bytes or more).

    Args:
        secret: decoded.
        clock: seconds since 1970.
    """

    def __init__(self, secret: bytes, clock: Callable[[], float]) -> None:
        self._secret = secret
        self._check = JwtCheck(secret=secret, audience=NAME, issuer=NAME)
        self._clock = clock

    def sign(self) -> str:
        """A token that is valid now, and not for long."""
        now = int(self._clock())
        times = {"iat": now, "nbf": now - LIFETIME_S, "exp": now + LIFETIME_S}
        return jwt.sign({"iss": NAME, "aud": [NAME], **times}, self._secret)

    def check(self, *authorization: bytes) -> None:
        """Whether the values of the `Authorization` header are one token of ours, now.

        Raises:
            NotAReplicaError: they are not; nothing more is told.
        """
        now = self._clock()
        try:
            (value,) = authorization
            scheme, _, text = value.decode("ascii").partition(" ")
            said = self._check.check(Secret(text), now)
        except (JwtError, ValueError) as error:  # UnicodeDecodeError is one
            raise NotAReplicaError from error
        if scheme.lower() != "bearer" or said.nbf is None or said.iat is None:
            raise NotAReplicaError
        if said.exp - said.nbf > _LONGEST_LIFETIME_S or said.iat - CLOCK_SKEW_S > now:
            raise NotAReplicaError
