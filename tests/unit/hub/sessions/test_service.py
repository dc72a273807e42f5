"""A session's life, and everything it dies of."""

from __future__ import annotations

import pytest

from kasbah.hub.accounts import store as accounts_store
from kasbah.hub.errors import RefusedError, UnauthenticatedError
from kasbah.hub.sessions.model import NewSession
from kasbah.kit.secrets import Secret, generate_token
from tests.doubles.hub_services import HubServices

pytestmark = pytest.mark.asyncio


async def begun(hub: HubServices) -> NewSession:
    mia = await hub.user("mia")
    authenticated = await hub.accounts.authenticate_pat(await hub.pat(mia, "k8s_proxy"))
    return await hub.sessions.begin(mia, authenticated.token)


async def test_cookie_and_csrf_token_together_show_the_user(hub: HubServices):
    new = await begun(hub)
    assert (await hub.sessions.authenticate(new.cookie, new.csrf_token)).username == "mia"
    assert len(new.csrf_token.reveal()) == 50


async def test_a_session_may_begin_without_a_token(hub: HubServices):
    mia = await hub.user("mia")
    new = await hub.sessions.begin(mia)
    assert await hub.sessions.authenticate(new.cookie, new.csrf_token) == mia


async def test_a_strange_cookie_is_malformed_or_no_session(hub: HubServices):
    new = await begun(hub)
    with pytest.raises(RefusedError, match="Invalid access_key"):
        await hub.sessions.authenticate(Secret("x"), new.csrf_token)
    with pytest.raises(UnauthenticatedError, match="Invalid session"):
        await hub.sessions.authenticate(generate_token("glkas-"), new.csrf_token)


async def test_the_csrf_token_of_another_session_does_not_match(hub: HubServices):
    new = await begun(hub)
    other = await hub.sessions.begin(await hub.user("ben"))
    for wrong in (other.csrf_token, Secret("x"), new.cookie):
        with pytest.raises(UnauthenticatedError, match="CSRF token does not match"):
            await hub.sessions.authenticate(new.cookie, wrong)


async def test_a_session_ends_after_a_day(hub: HubServices):
    new = await begun(hub)
    hub.clock.turn(days=1, seconds=-1)
    await hub.sessions.authenticate(new.cookie, new.csrf_token)
    hub.clock.turn(seconds=1)
    with pytest.raises(UnauthenticatedError, match="Invalid session"):
        await hub.sessions.authenticate(new.cookie, new.csrf_token)


@pytest.mark.parametrize(
    ("deed", "reason"),
    [("end", "Invalid session"), ("revoke", "Invalid session"), ("block", "Invalid user in session")],
)
async def test_a_session_dies_at_once(hub: HubServices, deed, reason):
    new = await begun(hub)
    async with hub.database.reading() as connection:
        token = await accounts_store.find_token(connection, 1)
    assert token is not None
    match deed:
        case "end":
            await hub.sessions.end(token)
        case "revoke":
            await hub.tokens.revoke(token.id)
        case "block":
            await hub.accounts.set_state(token.user_id, "blocked")
    with pytest.raises(UnauthenticatedError, match=reason):
        await hub.sessions.authenticate(new.cookie, new.csrf_token)
