"""Credentials in GitLab's order, and what they open."""

from __future__ import annotations

import pytest

from kasbah.hub.errors import ForbiddenError, InsufficientScopeError, NotFoundError, UnauthenticatedError
from kasbah.hub.rest.access import API, API_OR_NOBODY
from kasbah.hub.rest.credentials import Authenticator, bearer, find_credential, find_job_token
from tests.doubles.git_accounts import make_user
from tests.doubles.rest_call import AccountsInMemory, make_request

pytestmark = pytest.mark.asyncio


def accounts() -> AccountsInMemory:
    known = AccountsInMemory()
    known.grant("admin", make_user(1, is_admin=True), "api", "sudo")
    known.grant("admin-api", make_user(1, is_admin=True), "api")
    known.grant("person", make_user(2), "api", "sudo")
    known.grant("reader", make_user(2), "read_api")
    return known


@pytest.mark.parametrize(
    ("values", "headers", "expected"),
    [
        ({"private_token": "p"}, {"Private-Token": "h", "Authorization": "Bearer b"}, "p"),
        ({"private_token": ""}, {"Private-Token": "h", "Authorization": "Bearer b"}, "h"),
        ({"private_token": ["p"]}, {"Authorization": "bearer  b "}, "b"),
        ({}, {"Job-Token": "j", "Deploy-Token": "d"}, None),
    ],
)
async def test_the_first_place_counts(values, headers, expected):
    found = find_credential(make_request(headers=headers), values)
    assert (found.reveal() if found else None) == expected


@pytest.mark.parametrize(
    ("values", "headers", "expected"),
    [
        ({"job_token": "p"}, {"Job-Token": "h"}, "p"),
        ({"job_token": ""}, {"JOB-TOKEN": "h"}, "h"),
        ({"job_token": ["p"]}, {}, None),
        ({"private_token": "p"}, {"Private-Token": "h", "Authorization": "Bearer b", "Job-Token": ""}, None),
    ],
)
async def test_a_jobs_token_has_places_of_its_own(values, headers, expected):
    found = find_job_token(make_request(headers=headers), values)
    assert (found.reveal() if found else None) == expected


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic eDp5"])
async def test_what_is_no_bearer_is_nothing(header):
    assert bearer(header) is None


async def test_nobody_enters_only_where_nobody_may():
    authenticator = Authenticator(accounts())
    assert await authenticator.authenticate(make_request(), {}, API_OR_NOBODY) is None
    with pytest.raises(UnauthenticatedError):
        await authenticator.authenticate(make_request(), {}, API)


async def test_a_bad_credential_is_refused_also_where_nobody_may_enter():
    request = make_request(headers={"Private-Token": "wrong"})
    with pytest.raises(UnauthenticatedError):
        await Authenticator(accounts()).authenticate(request, {}, API_OR_NOBODY)


async def test_a_scope_too_small_is_named():
    request = make_request("POST", headers={"Private-Token": "reader"})
    with pytest.raises(InsufficientScopeError) as refused:
        await Authenticator(accounts()).authenticate(request, {}, API)
    assert refused.value.required == ("api", "read_api")


@pytest.mark.parametrize("wanted", ["2", "user2"])
async def test_an_administrator_acts_as_somebody(wanted):
    request = make_request(headers={"Private-Token": "admin", "Sudo": wanted})
    found = await Authenticator(accounts()).authenticate(request, {}, API)
    assert found is not None
    assert found.user.username == "user2"


@pytest.mark.parametrize(
    ("token", "wanted", "error"),
    [
        ("person", "1", ForbiddenError),
        ("admin-api", "2", InsufficientScopeError),
        ("admin", "99", NotFoundError),
        ("admin", "9" * 30, NotFoundError),
        ("admin", "x" * 5000, NotFoundError),
    ],
)
async def test_sudo_is_refused_to_everybody_else(token, wanted, error):
    request = make_request(headers={"Private-Token": token})
    with pytest.raises(error):
        await Authenticator(accounts()).authenticate(request, {"sudo": wanted}, API)
