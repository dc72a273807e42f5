"""How long a session lives, and where its cookie goes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from kasbah.hub.errors import RefusedError
from kasbah.hub.identity import PersonalAccessToken
from kasbah.hub.sessions.model import CookiePlace, end_of_life, is_cookie
from tests.doubles.hub_services import START

HUB = "https://git.example"


def token(expires_at: date | None) -> PersonalAccessToken:
    return PersonalAccessToken(
        id=1,
        user_id=1,
        name="t",
        description=None,
        scopes=("api",),
        revoked=False,
        expires_at=expires_at,
        created_at=START,
        last_used_at=None,
    )


@pytest.mark.parametrize(
    ("begun_with", "until"),
    [
        (None, START + timedelta(days=1)),
        (token(None), START + timedelta(days=1)),
        (token(START.date() + timedelta(days=9)), START + timedelta(days=1)),
        (token(date(2026, 3, 2)), datetime(2026, 3, 2, tzinfo=UTC)),
    ],
)
def test_a_session_lives_a_day_and_no_longer_than_its_token(begun_with, until):
    assert end_of_life(START, begun_with) == until


@pytest.mark.parametrize(
    ("proxy", "header"),
    [
        (
            "https://git.example/-/kubernetes-agent/k8s-proxy/",
            "_gitlab_kas=v; Path=/-/kubernetes-agent/k8s-proxy; Max-Age=60; Secure; HttpOnly; SameSite=Strict",
        ),
        (
            "https://kas.git.example:8154/",
            "_gitlab_kas=v; Path=/; Max-Age=60; Domain=git.example; Secure; HttpOnly; SameSite=Strict",
        ),
    ],
)
def test_the_cookie_goes_to_the_proxy_alone(proxy, header):
    assert CookiePlace.between(HUB, proxy).header("v", timedelta(minutes=1)) == header


def test_without_tls_the_cookie_is_not_secure():
    place = CookiePlace.between("http://localhost:8080", "http://localhost:8080/k8s-proxy/")
    assert place.header("v", timedelta()) == (
        "_gitlab_kas=v; Path=/k8s-proxy; Max-Age=0; HttpOnly; SameSite=Strict"
    )


@pytest.mark.parametrize("proxy", ["https://other.example/", "https://xgit.example/", "https://example/"])
def test_a_proxy_elsewhere_gets_no_cookie(proxy):
    with pytest.raises(RefusedError, match="no cookie reaches the proxy"):
        CookiePlace.between(HUB, proxy)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("glkas-" + "a" * 50, True), ("glkas-" + "a" * 51, False), ("glpat-" + "a" * 50, False), ("", False)],
)
def test_a_value_of_ours_has_our_shape(value, expected):
    assert is_cookie(value) is expected
