"""The JWT of kas."""

from __future__ import annotations

from joserfc import jwt
from joserfc.jwk import OctKey

from kasbah.kas.hub_client.jwt import KasJwt

SECRET = b"0123456789abcdef0123456789abcdef"


def test_claims_are_gitlabs_and_short_lived():
    token = jwt.decode(KasJwt(SECRET, lambda: 1000.0).current(), OctKey.import_key(SECRET))
    assert token.header["alg"] == "HS256"
    assert token.claims == {"iss": "gitlab-kas", "aud": "gitlab", "iat": 1000, "nbf": 995, "exp": 1060}


def test_a_token_is_used_again_for_twenty_seconds():
    now = [1000.0]
    kas = KasJwt(SECRET, lambda: now[0])
    first = kas.current()
    now[0] = 1019.9
    assert kas.current() == first
    now[0] = 1020.0
    assert kas.current() != first


def test_a_clock_set_back_gives_a_new_token():
    now = [1000.0]
    kas = KasJwt(SECRET, lambda: now[0])
    first = kas.current()
    now[0] = 900.0
    assert kas.current() != first
