"""Only kas passes."""

from __future__ import annotations

import base64

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from kasbah.hub.kas_jwt import KasJwtCheck
from kasbah.hub.rest.errors import KasCredentialError
from kasbah.kit.secrets import Secret
from tests.doubles.rest_call import make_request

KEY = b"k" * 32
SECRET = Secret(base64.b64encode(KEY).decode() + "\n")
NOW = 1_000_000


def check(header: str) -> None:
    KasJwtCheck(SECRET, lambda: NOW)(make_request(headers={"Gitlab-Kas-Api-Request": header}))


def signed(**changes: object) -> str:
    claims = {"iss": "gitlab-kas", "aud": "gitlab", "exp": NOW + 5, **changes}
    present = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": "HS256"}, present, OctKey.import_key(KEY))


@pytest.mark.parametrize("claims", [{}, {"aud": ["gitlab", "x"]}, {"exp": NOW - 4}, {"nbf": NOW + 4}])
def test_kas_passes_with_a_little_skew(claims):
    check(signed(**claims))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None},
        {"exp": NOW - 6},
        {"exp": "soon"},
        {"iss": "x"},
        {"iss": None},
        {"aud": "x"},
        {"aud": None},
        {"nbf": NOW + 6},
    ],
)
def test_a_claim_that_is_wrong_or_missing_is_refused(claims):
    with pytest.raises(KasCredentialError):
        check(signed(**claims))


@pytest.mark.parametrize("header", ["", "x", "a.b.c", "a" * 5000, "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_no_jwt_of_ours_is_refused(header):
    with pytest.raises(KasCredentialError):
        check(header)
