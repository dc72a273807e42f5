"""Personal access tokens: made, shown to the right people, rotated, revoked."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from kasbah.hub.accounts import store
from kasbah.hub.accounts.model import NewToken
from kasbah.hub.errors import NotFoundError, TokenRevokedError, UnauthenticatedError, UnprocessableError
from kasbah.kit.secrets import fingerprint
from tests.doubles.hub_services import HubServices

pytestmark = pytest.mark.asyncio


def new(**changes) -> NewToken:
    return NewToken(**{"name": "t", "scopes": ("api",), "expires_at": None, **changes})


async def test_only_the_hash_is_kept(hub: HubServices):
    mia = await hub.user("mia")
    _, secret = await hub.tokens.create(mia.id, new())
    assert re.fullmatch(r"glpat-[A-Za-z0-9_-]{50}", secret.reveal())
    async with hub.database.reading() as connection:
        kept = await connection.scalar(sa.select(store.tokens.c.token_hash))
    assert kept == fingerprint(secret)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": " "}, "Name can't be blank"),
        ({"name": "n" * 256}, "Name is too long"),
        ({"description": "d" * 256}, "Description is too long"),
    ],
)
async def test_a_token_that_breaks_a_rule_is_not_made(hub: HubServices, changes, message):
    mia = await hub.user("mia")
    with pytest.raises(UnprocessableError, match=message):
        await hub.tokens.create(mia.id, new(**changes))


async def test_a_token_lives_a_year_at_most(hub: HubServices):
    mia, year = await hub.user("mia"), hub.clock().date() + timedelta(days=365)
    await hub.tokens.create(mia.id, new(expires_at=year))
    with pytest.raises(UnprocessableError, match="Expiration date must be before 2027-03-01"):
        await hub.tokens.create(mia.id, new(expires_at=year + timedelta(days=1)))


async def test_nobody_gets_no_token(hub: HubServices):
    with pytest.raises(NotFoundError):
        await hub.tokens.create(99, new())


async def test_a_token_is_shown_to_its_owner_and_to_administrators(hub: HubServices):
    mia, bob, admin = [await hub.user("mia"), await hub.user("bob"), await hub.user("admin", is_admin=True)]
    token, _ = await hub.tokens.create(mia.id, new())
    assert await hub.tokens.get(mia, token.id) == await hub.tokens.get(admin, token.id) == token
    with pytest.raises(UnauthenticatedError):
        await hub.tokens.get(bob, token.id)
    with pytest.raises(UnauthenticatedError):
        await hub.tokens.get(bob, 99)
    with pytest.raises(NotFoundError):
        await hub.tokens.get(admin, 99)


async def test_a_list_is_ones_own_but_for_administrators(hub: HubServices):
    mia, admin = await hub.user("mia"), await hub.user("admin", is_admin=True)
    await hub.tokens.create(mia.id, new())
    await hub.tokens.create(admin.id, new())
    page = {"limit": 20, "offset": 0}
    assert (await hub.tokens.list(mia, user_id=None, **page))[1] == 1
    assert (await hub.tokens.list(admin, user_id=None, **page))[1] == 2
    assert (await hub.tokens.list(admin, user_id=mia.id, **page))[1] == 1
    with pytest.raises(UnauthenticatedError):
        await hub.tokens.list(mia, user_id=admin.id, **page)


async def test_rotating_ends_the_old_and_keeps_its_scopes(hub: HubServices):
    mia = await hub.user("mia")
    old = await hub.pat(mia, "k8s_proxy", "self_rotate")
    caller = await hub.accounts.authenticate_pat(old)
    token, secret = await hub.tokens.rotate(caller, None)
    assert token.scopes == ("k8s_proxy", "self_rotate")
    assert token.expires_at == hub.clock().date() + timedelta(days=7)
    assert (await hub.accounts.authenticate_pat(secret)).token.id == token.id
    with pytest.raises(TokenRevokedError):
        await hub.accounts.authenticate_pat(old)
    with pytest.raises(UnauthenticatedError):
        await hub.tokens.rotate(caller, None)
