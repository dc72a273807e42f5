"""Who may call the private API: one token is right, and everything near it is wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from joserfc import jwe, jwt
from joserfc.jwk import ECKey, OctKey

from kasbah.kas.private_api.jwt import NotAReplicaError, ReplicaJwt

SECRET = bytes(range(32))
NOW = 1_700_000_000
CLAIMS: dict[str, Any] = {
    "iss": "gitlab-kas",
    "aud": ["gitlab-kas"],
    "iat": NOW,
    "nbf": NOW - 5,
    "exp": NOW + 5,
}


def checker() -> ReplicaJwt:
    return ReplicaJwt(SECRET, lambda: NOW + 0.5)


def b64(data: bytes | str) -> str:
    return base64.urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b"=").decode()


def signed(
    claims: dict[str, Any] | None = None, *, key: bytes = SECRET, alg: str = "HS256", **changes: Any
) -> bytes:
    """A token with these claims; None leaves one out."""
    said = {name: value for name, value in ((claims or CLAIMS) | changes).items() if value is not None}
    token = jwt.encode({"alg": alg}, said, OctKey.import_key(key), algorithms=[alg])
    return b"Bearer " + token.encode()


def by_hand(header: str, claims: str) -> bytes:
    """Whatever text, signed with the right secret."""
    said = f"{b64(header)}.{b64(claims)}"
    return f"Bearer {said}.{b64(hmac.new(SECRET, said.encode(), hashlib.sha256).digest())}".encode()


def unsigned() -> bytes:
    return f"Bearer {b64(json.dumps({'alg': 'none'}))}.{b64(json.dumps(CLAIMS))}.".encode()


def by_an_asymmetric_key() -> bytes:
    key = ECKey.generate_key("P-256")
    return b"Bearer " + jwt.encode({"alg": "ES256"}, CLAIMS, key, algorithms=["ES256"]).encode()


def encrypted() -> bytes:
    key = OctKey.import_key(SECRET)
    return (
        b"Bearer "
        + jwe.encrypt_compact({"alg": "dir", "enc": "A128CBC-HS256"}, json.dumps(CLAIMS), key).encode()
    )


FORGED = {
    "nothing": b"",
    "no scheme": signed()[7:],
    "another scheme": b"Basic " + signed()[7:],
    "two spaces": b"Bearer  " + signed()[7:],
    "not signed": unsigned(),
    "no signature": signed().rpartition(b".")[0] + b".",
    "signature cut": signed()[:-4],
    "claims of another token": b".".join(
        [signed().split(b".")[0], signed(sub="x").split(b".")[1], signed().split(b".")[2]]
    ),
    "another secret": signed(key=b"x" * 32),
    "an asymmetric key": by_an_asymmetric_key(),
    "encrypted": encrypted(),
    "two parts": b"Bearer a.b",
    "four parts": signed() + b".x",
    "not base64": b"Bearer !!.!!.!!",
    "not ascii": b"Bearer \xff.\xff.\xff",
    "too long": signed(sub="x" * 5000),
    "for the Git side": signed(aud=["gitlab"]),
    "for an agent": signed(aud=["gitlab-agent"]),
    "for nobody": signed(aud=None),
    "for an empty list": signed(aud=[]),
    "of another issuer": signed(iss="gitlab"),
    "of no issuer": signed(iss=None),
    "expired": signed(iat=NOW - 60, nbf=NOW - 65, exp=NOW - 55),
    "expired a moment too long ago": signed(exp=NOW - 6),
    "without an end": signed(exp=None),
    "an end that is text": signed(exp=str(NOW + 5)),
    "an end that is true": signed(exp=True),
    "an end that is infinite": by_hand('{"alg":"HS256"}', json.dumps(CLAIMS).replace(str(NOW + 5), "1e999")),
    "not yet": signed(iat=NOW + 60, nbf=NOW + 55, exp=NOW + 65),
    "without a beginning": signed(nbf=None),
    "a beginning that is text": signed(nbf=str(NOW - 5)),
    "without the time it was made": signed(iat=None),
    "made in the future": signed(iat=NOW + 60),
    "good for an hour": signed(exp=NOW + 3600),
    "an unknown critical header": by_hand('{"alg":"HS256","crit":["x"],"x":1}', json.dumps(CLAIMS)),
    "no algorithm": by_hand("{}", json.dumps(CLAIMS)),
    "a lower-case algorithm": by_hand('{"alg":"hs256"}', json.dumps(CLAIMS)),
    "claims that are a list": by_hand('{"alg":"HS256"}', "[]"),
    "claims that are no JSON": by_hand('{"alg":"HS256"}', "{"),
    "an agent token": b"Bearer glagent-0123456789",
}


@pytest.mark.parametrize("said", FORGED.values(), ids=FORGED.keys())
def test_everything_else_is_refused(said: bytes):
    with pytest.raises(NotAReplicaError):
        checker().check(said)


@pytest.mark.parametrize("said", [(), (signed(), signed())])
def test_the_header_stands_once(said: tuple[bytes, ...]):
    with pytest.raises(NotAReplicaError):
        checker().check(*said)


@pytest.mark.parametrize(
    "said",
    [
        signed(),
        b"bearer " + signed()[7:],
        signed(aud="gitlab-kas"),
        signed(aud=["x", "gitlab-kas"]),
        signed(exp=NOW - 1),
        signed(alg="HS384", key=SECRET),
        signed(alg="HS512", key=SECRET),
    ],
)
def test_a_kas_of_this_deployment_is_let_in(said: bytes):
    checker().check(said)


def test_what_is_signed_is_let_in_and_says_what_gitlabs_kas_says():
    token = ReplicaJwt(SECRET, lambda: NOW + 0.9).sign()
    checker().check(b"Bearer " + token.encode())
    assert json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "==")) == CLAIMS


def test_a_token_is_not_good_for_long():
    later = ReplicaJwt(SECRET, lambda: NOW + 11)
    with pytest.raises(NotAReplicaError):
        later.check(b"Bearer " + ReplicaJwt(SECRET, lambda: NOW).sign().encode())
