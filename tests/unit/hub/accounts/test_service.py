"""Whether a token is good, and who its owner is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kasbah.hub.accounts import store
from kasbah.hub.accounts.model import NewToken, NewUser
from kasbah.hub.errors import (
    AccountBlockedError,
    FieldsInvalidError,
    NotFoundError,
    TakenError,
    TokenExpiredError,
    TokenRevokedError,
    UnauthenticatedError,
)
from kasbah.kit.secrets import Secret
from tests.doubles.hub_services import HubServices

pytestmark = pytest.mark.asyncio


async def test_a_good_token_names_its_owner(hub: HubServices):
    mia = await hub.user("mia")
    found = await hub.accounts.authenticate_pat(await hub.pat(mia, "api", "k8s_proxy"))
    assert found.user == mia
    assert found.scopes == {"api", "k8s_proxy"}


@pytest.mark.parametrize("value", ["", "glpat-x", "x" * 1_000_000])
async def test_an_unknown_token_is_refused(hub: HubServices, value):
    with pytest.raises(UnauthenticatedError):
        await hub.accounts.authenticate_pat(Secret(value))


async def test_a_revoked_token_says_so(hub: HubServices):
    secret = await hub.pat(await hub.user("mia"))
    await hub.tokens.revoke(1)
    with pytest.raises(TokenRevokedError):
        await hub.accounts.authenticate_pat(secret)


async def test_a_token_dies_while_the_program_runs(hub: HubServices):
    mia = await hub.user("mia")
    tomorrow = hub.clock().date() + timedelta(days=1)
    _, secret = await hub.tokens.create(mia.id, NewToken(name="t", scopes=("api",), expires_at=tomorrow))
    await hub.accounts.authenticate_pat(secret)
    hub.clock.turn(days=1)
    with pytest.raises(TokenExpiredError):
        await hub.accounts.authenticate_pat(secret)


async def test_a_blocked_owner_is_refused_until_unblocked(hub: HubServices):
    mia = await hub.user("mia")
    secret = await hub.pat(mia)
    await hub.accounts.set_state(mia.id, "blocked")
    with pytest.raises(AccountBlockedError):
        await hub.accounts.authenticate_pat(secret)
    await hub.accounts.set_state(mia.id, "active")
    await hub.accounts.authenticate_pat(secret)


async def test_nobody_cannot_be_blocked(hub: HubServices):
    with pytest.raises(NotFoundError):
        await hub.accounts.set_state(99, "blocked")


async def test_the_last_use_is_written_seldom_and_at_the_end(hub: HubServices):
    secret = await hub.pat(await hub.user("mia"))
    first = hub.clock()
    await hub.accounts.authenticate_pat(secret)
    hub.clock.turn(minutes=5)
    await hub.accounts.authenticate_pat(secret)
    assert await column(hub) == first
    await hub.accounts.flush_last_used()
    assert await column(hub) == hub.clock()


async def column(hub: HubServices):
    async with hub.database.reading() as connection:
        token = await store.find_token(connection, 1)
    assert token is not None
    return token.last_used_at


async def test_a_user_comes_with_a_namespace_or_not_at_all(hub: HubServices):
    owner = await hub.user("owner")
    await hub.group(owner, "mia")
    with pytest.raises(TakenError, match="Username has already been taken"):
        await hub.user("mia")
    assert await hub.accounts.find_by_username("mia") is None


async def test_names_and_addresses_are_taken_once(hub: HubServices):
    await hub.user("mia")
    with pytest.raises(TakenError, match="Username"):
        await hub.accounts.create(NewUser(username="MIA", name="x", email="other@example.com"))
    with pytest.raises(TakenError, match="Email"):
        await hub.accounts.create(NewUser(username="other", name="x", email="MIA@example.com"))


async def test_a_user_that_breaks_a_rule_is_not_made(hub: HubServices):
    with pytest.raises(FieldsInvalidError):
        await hub.accounts.create(NewUser(username="..", name="x", email="x@example.com"))
    assert (await hub.accounts.list(username=None, search=None, limit=20, offset=0)) == ([], 0)


async def test_users_are_found_by_number_and_name(hub: HubServices):
    mia = await hub.user("mia")
    assert await hub.accounts.find(mia.id) == mia
    assert await hub.accounts.find_by_username("MIA") == mia
