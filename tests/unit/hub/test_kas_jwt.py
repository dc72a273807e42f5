"""Only kas passes."""

from __future__ import annotations

import base64

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from kasbah.errors import UserError
from kasbah.hub.kas_jwt import KasJwtCheck
from kasbah.hub.rest.errors import KasCredentialError
from kasbah.kit.secrets import Secret
from tests.doubles.forged_jwts import forgeries
from tests.doubles.forged_jwts import signed as signed_with
from tests.doubles.rest_call import make_request

KEY = b"k" * 32
SECRET = Secret(base64.b64encode(KEY).decode() + "\n")
NOW = 1_000_000
GOOD = {"iss": "gitlab-kas", "aud": "gitlab", "exp": NOW + 5}
FORGED = {name: token for name, token in forgeries(KEY, GOOD, NOW).items() if token.isascii()}


def check(header: str) -> None:
    KasJwtCheck(SECRET, lambda: NOW)(make_request(headers={"Gitlab-Kas-Api-Request": header}))


def signed(**changes: object) -> str:
    present = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    return jwt.encode({"alg": "HS256"}, present, OctKey.import_key(KEY))


@pytest.mark.parametrize("claims", [{}, {"aud": ["gitlab", "x"]}, {"exp": NOW - 4}, {"nbf": NOW + 4}])
def test_kas_passes_with_a_little_skew(claims):
    check(signed(**claims))


@pytest.mark.parametrize("claims", [{"iss": "x"}, {"iss": None}, {"iss": ""}, {"aud": "gitlab-kas"}])
def test_another_issuer_or_audience_is_refused(claims):
    with pytest.raises(KasCredentialError):
        check(signed(**claims))


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_nothing_forged_passes(forged: str):
    with pytest.raises(KasCredentialError):
        check(forged)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_kas_signs_with_one_algorithm(algorithm: str):
    with pytest.raises(KasCredentialError):
        check(signed_with(GOOD, KEY, algorithm))


def test_without_a_token_or_with_two_nobody_passes():
    request = make_request()
    with pytest.raises(KasCredentialError):
        KasJwtCheck(SECRET, lambda: NOW)(request)
    twice = make_request(headers={"Gitlab-Kas-Api-Request": signed()})
    twice.scope["headers"] = twice.scope["headers"] * 2
    with pytest.raises(KasCredentialError):
        KasJwtCheck(SECRET, lambda: NOW)(twice)


def test_a_secret_that_is_none_is_refused_at_once():
    with pytest.raises(UserError, match="base64 of 32 random bytes"):
        KasJwtCheck(Secret("c2hvcnQ="), lambda: NOW)
