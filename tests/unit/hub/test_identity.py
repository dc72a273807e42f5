"""When a token is good."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from kasbah.hub.identity import Authenticated, PersonalAccessToken
from tests.doubles.git_accounts import make_user

TOKEN = PersonalAccessToken(
    id=1,
    user_id=1,
    name="t",
    description=None,
    scopes=("api",),
    revoked=False,
    expires_at=date(2026, 3, 2),
    created_at=datetime(2026, 3, 1, tzinfo=UTC),
    last_used_at=None,
)


@pytest.mark.parametrize(
    ("now", "expired"),
    [(datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC), False), (datetime(2026, 3, 2, tzinfo=UTC), True)],
)
def test_a_token_dies_at_midnight_of_its_date(now, expired):
    assert TOKEN.is_expired(now) is expired
    assert TOKEN.is_active(now) is not expired


def test_a_token_without_a_date_lives_until_it_is_revoked():
    now = datetime(2099, 1, 1, tzinfo=UTC)
    endless = replace(TOKEN, expires_at=None)
    assert endless.is_active(now)
    assert not replace(endless, revoked=True).is_active(now)


def test_the_scopes_are_the_tokens():
    assert Authenticated(user=make_user(), token=TOKEN).scopes == {"api"}
