"""JSON web tokens signed with a shared secret (RFC 7519, RFC 7515): HS256, HS384, HS512 and nothing else.

One policy for all who are called: the algorithm is one the checker names, the signature covers the very bytes, a token
must have an end and say whom it is for, and what is not understood (`crit`, another `typ`, a claim of another type) is
refused. Keys that a token brings along are not looked at. Pure: the time comes in as an argument.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from kasbah.errors import PeerError
from kasbah.kit.secrets import Secret

Algorithm = Literal["HS256", "HS384", "HS512"]
ALL: Final[tuple[Algorithm, ...]] = ("HS256", "HS384", "HS512")
CLOCK_SKEW_S: Final = 5.0
"""By so much two clocks may differ."""
_LONGEST: Final = 4096
_HASHES: Final[Mapping[str, Callable[[], Any]]] = {
    "HS256": hashlib.sha256,
    "HS384": hashlib.sha384,
    "HS512": hashlib.sha512,
}
_HEADER: Final = b'{"alg":"HS256","typ":"JWT"}'


class JwtError(PeerError):
    """A token is not one that we take."""


class _Header(msgspec.Struct, frozen=True):
    alg: Algorithm
    typ: str = "JWT"
    crit: msgspec.UnsetType | Any = msgspec.UNSET


class Claims(msgspec.Struct, frozen=True):
    """What a token says that anybody looks at; times in seconds since 1970."""

    exp: float
    aud: str | list[str]
    iss: str = ""
    nbf: float | None = None
    iat: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtCheck:
    """What a token must say."""

    secret: bytes
    audience: str
    issuer: str = ""
    """Empty: any."""
    algorithms: tuple[Algorithm, ...] = ALL

    def __repr__(self) -> str:
        return f"JwtCheck(audience={self.audience!r})"

    def check(self, token: Secret, now: float) -> Claims:
        """Take the token, and tell what it says.

        Args:
            token: as it was sent, without a scheme.
            now: seconds since 1970.

        Raises:
            JwtError: it is not taken; the text says why and shows nothing of it.
        """
        text = token.reveal()
        if len(text) > _LONGEST or text.count(".") != 2:
            raise JwtError("not a JWT")
        signed, _, signature = text.rpartition(".")
        header, _, claims = signed.partition(".")
        read = _decoded(header, _Header)
        if read.alg not in self.algorithms or read.crit is not msgspec.UNSET or read.typ.upper() != "JWT":
            raise JwtError("a header that is not taken")
        if not hmac.compare_digest(_signature(signed.encode(), self.secret, read.alg), _bytes(signature)):
            raise JwtError("another signature")
        said: Claims = _decoded(claims, Claims)
        self._check_claims(said, now)
        return said

    def _check_claims(self, claims: Claims, now: float) -> None:
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if self.audience not in audiences:
            raise JwtError("another audience")
        if self.issuer and claims.iss != self.issuer:
            raise JwtError("another issuer")
        if claims.exp + CLOCK_SKEW_S <= now:
            raise JwtError("it has expired")
        if claims.nbf is not None and claims.nbf - CLOCK_SKEW_S > now:
            raise JwtError("it is not valid yet")


def sign(claims: Mapping[str, object], secret: bytes) -> str:
    """A token that says this, with HS256."""
    signed = b"%b.%b" % (_text(_HEADER), _text(msgspec.json.encode(claims)))
    return (b"%b.%b" % (signed, _text(_signature(signed, secret, "HS256")))).decode()


def _signature(signed: bytes, secret: bytes, algorithm: Algorithm) -> bytes:
    return hmac.digest(secret, signed, _HASHES[algorithm])


def _decoded(text: str, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(_bytes(text).decode(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise JwtError("not a JWT") from error


def _text(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _bytes(text: str) -> bytes:
    """What base64url stands for, in its one spelling: no padding, no other alphabet, no stray bits."""
    try:
        given = text.encode("ascii")
        data = base64.urlsafe_b64decode(given + b"=" * (-len(given) % 4))
    except (UnicodeEncodeError, binascii.Error) as error:
        raise JwtError("not a JWT") from error
    if _text(data) != given:
        raise JwtError("not a JWT")
    return data
