"""Who calls, and dates before which nothing may have changed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kasbah.hub.errors import ForbiddenError, UnauthenticatedError
from kasbah.hub.rest.errors import PreconditionFailedError
from kasbah.kit.secrets import Secret
from tests.doubles.git_accounts import FakeAccounts, make_user
from tests.doubles.rest_call import make_call

UPDATED = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_nobody_is_nobody():
    assert make_call().user is None
    with pytest.raises(UnauthenticatedError):
        _ = make_call().signed_in


@pytest.mark.asyncio
async def test_only_administrators_pass_as_such():
    accounts = FakeAccounts()
    accounts.grant("a", make_user(1, is_admin=True), "api")
    accounts.grant("b", make_user(2), "api")
    admin = make_call(authenticated=await accounts.authenticate_pat(Secret("a")))
    person = make_call(authenticated=await accounts.authenticate_pat(Secret("b")))
    assert admin.require_admin().id == 1
    with pytest.raises(ForbiddenError):
        person.require_admin()


@pytest.mark.parametrize("header", [None, "Sun, 01 Mar 2026 12:00:00 GMT", "Sun, 01 Mar 2026 13:00:00 -0000"])
def test_an_unchanged_record_may_go(header):
    headers = {"If-Unmodified-Since": header} if header else {}
    make_call(headers=headers).check_unmodified(UPDATED)


@pytest.mark.parametrize("header", ["Sun, 01 Mar 2026 11:59:59 GMT", "last week"])
def test_a_changed_record_stays(header):
    with pytest.raises(PreconditionFailedError):
        make_call(headers={"If-Unmodified-Since": header}).check_unmodified(UPDATED)
