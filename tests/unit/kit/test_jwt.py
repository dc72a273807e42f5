"""Tokens signed with a shared secret: what passes, and everything that does not."""

from __future__ import annotations

import pytest
from joserfc import jwt as oracle
from joserfc.jwk import OctKey

from kasbah.kit import jwt
from kasbah.kit.jwt import JwtCheck, JwtError
from kasbah.kit.secrets import Secret
from tests.doubles.forged_jwts import forgeries, signed

KEY = b"k" * 32
NOW = 1_000_000
GOOD = {"aud": "gitlab-kas", "iss": "gitlab.example.com", "exp": NOW + 60}
FORGED = forgeries(KEY, GOOD, NOW)
CHECK = JwtCheck(secret=KEY, audience="gitlab-kas")


def check(token: str, check: JwtCheck = CHECK) -> None:
    check.check(Secret(token), NOW)


def test_what_we_sign_is_what_others_read():
    token = oracle.decode(jwt.sign(GOOD, KEY), OctKey.import_key(KEY))
    assert (token.header, token.claims) == ({"alg": "HS256", "typ": "JWT"}, GOOD)
    check(jwt.sign(GOOD, KEY))


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_what_others_sign_is_taken(algorithm: str):
    header = {"alg": algorithm}
    check(oracle.encode(header, GOOD, OctKey.import_key(KEY), algorithms=[algorithm]))
    check(signed(GOOD, KEY, algorithm))


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["x", "gitlab-kas"]},
        {"exp": NOW - 4},
        {"exp": NOW + 0.5},
        {"nbf": NOW + 4},
        {"nbf": NOW - 60, "iat": NOW, "jti": "x", "sub": 1},
        {"nbf": None},
    ],
)
def test_claims_are_taken_with_a_little_skew(changes: dict[str, object]):
    check(signed({**GOOD, **changes}, KEY))


def test_a_type_may_be_absent_or_in_small_letters():
    check(oracle.encode({"alg": "HS256", "typ": "jwt"}, GOOD, OctKey.import_key(KEY)))
    check(signed(GOOD, KEY, kid="mine", typ="JWT"))


def test_the_table_is_long_and_every_entry_is_another():
    assert len(FORGED) >= 60
    assert len(set(FORGED.values())) == len(FORGED)


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_nothing_forged_passes(forged: str):
    with pytest.raises(JwtError) as caught:
        check(forged)
    assert not forged or forged not in str(caught.value)


def test_an_issuer_is_looked_at_where_one_is_wanted():
    wanted = JwtCheck(secret=KEY, audience="gitlab-kas", issuer="gitlab-kas")
    check(signed({**GOOD, "iss": "gitlab-kas"}, KEY), wanted)
    for token in (signed(GOOD, KEY), signed({"aud": "gitlab-kas", "exp": NOW + 60}, KEY)):
        with pytest.raises(JwtError, match="issuer"):
            check(token, wanted)


def test_an_algorithm_may_be_too_good_to_be_expected():
    with pytest.raises(JwtError, match="header"):
        check(signed(GOOD, KEY, "HS512"), JwtCheck(secret=KEY, audience="gitlab-kas", algorithms=("HS256",)))


def test_the_secret_is_not_shown():
    assert "kkk" not in repr(CHECK)
