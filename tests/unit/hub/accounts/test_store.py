"""Users and tokens come back as they went in, on either database."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy.exc import IntegrityError

from kasbah.hub.accounts import store
from kasbah.hub.accounts.model import NewToken, NewUser
from tests.doubles.hub_services import START, HubServices

pytestmark = pytest.mark.asyncio

MIA = NewUser(username="Mia", name="Mia B.", email="Mia@Example.com")
TOKEN = NewToken(name="t", scopes=("api", "k8s_proxy"), expires_at=date(2026, 3, 2), description="d")


async def test_a_user_comes_back_as_it_went_in(stored: HubServices):
    async with stored.database.writing() as connection:
        user = await store.insert_user(connection, MIA, START)
    async with stored.database.reading() as connection:
        assert await store.find_user(connection, user.id) == user
    assert (user.created_at, user.state, user.is_admin) == (START, "active", False)


async def test_names_and_addresses_are_found_whatever_their_capitals(stored: HubServices):
    async with stored.database.writing() as connection:
        user = await store.insert_user(connection, MIA, START)
        assert await store.find_user_by_name(connection, "mIA") == user
        assert await store.email_is_taken(connection, "mia@example.COM")


async def test_two_users_cannot_differ_in_capitals_only(stored: HubServices):
    again = NewUser(username="MIA", name="x", email="other@example.com")
    async with stored.database.writing() as connection:
        await store.insert_user(connection, MIA, START)
    with pytest.raises(IntegrityError):
        async with stored.database.writing() as connection:
            await store.insert_user(connection, again, START)


async def test_a_token_is_found_with_its_owner_by_its_hash(stored: HubServices):
    async with stored.database.writing() as connection:
        user = await store.insert_user(connection, MIA, START)
        token = await store.insert_token(connection, user.id, TOKEN, "a" * 64, START)
        assert await store.find_token_and_user(connection, "a" * 64) == (token, user)
        assert await store.find_token_and_user(connection, "b" * 64) is None
    assert (token.scopes, token.expires_at) == (TOKEN.scopes, TOKEN.expires_at)


async def test_revoking_says_whether_it_changed_anything(stored: HubServices):
    async with stored.database.writing() as connection:
        user = await store.insert_user(connection, MIA, START)
        token = await store.insert_token(connection, user.id, TOKEN, "a" * 64, START)
        assert await store.revoke_token(connection, token.id)
        assert not await store.revoke_token(connection, token.id)
        assert await store.has_had_token(connection, user.id, "t")
        assert not await store.has_had_token(connection, user.id, "another")


async def test_pages_of_users_come_newest_first_with_their_number(stored: HubServices):
    names = [(await stored.user(f"user{number}")).username for number in range(3)]
    async with stored.database.reading() as connection:
        users, total = await store.list_users(connection, username=None, search="user", limit=2, offset=1)
    assert [user.username for user in users] == [names[1], names[0]]
    assert total == 3


async def test_a_search_takes_wildcards_literally(stored: HubServices):
    await stored.user("mia")
    async with stored.database.reading() as connection:
        _, total = await store.list_users(connection, username=None, search="m%", limit=20, offset=0)
    assert total == 0


async def test_tokens_are_listed_of_one_user_or_of_all(stored: HubServices):
    mia, bob = await stored.user("mia"), await stored.user("bob")
    await stored.pat(mia)
    await stored.pat(bob)
    async with stored.database.reading() as connection:
        _, of_all = await store.list_tokens(connection, user_id=None, limit=20, offset=0)
        tokens, _ = await store.list_tokens(connection, user_id=bob.id, limit=20, offset=0)
    assert of_all == 2
    assert [token.user_id for token in tokens] == [bob.id]


async def test_the_last_use_and_the_state_are_written(stored: HubServices):
    mia = await stored.user("mia")
    await stored.pat(mia)
    async with stored.database.writing() as connection:
        await store.write_token_last_used(connection, 1, START)
        await store.set_user_state(connection, mia.id, "blocked")
        token, user = await store.find_token(connection, 1), await store.find_user(connection, mia.id)
    assert token is not None
    assert user is not None
    assert (token.last_used_at, user.state) == (START, "blocked")


async def test_users_of_a_page_of_members_come_in_one_query(stored: HubServices):
    mia, bob = await stored.user("mia"), await stored.user("bob")
    async with stored.database.reading() as connection:
        assert await store.find_users(connection, [mia.id, bob.id, 99]) == {mia.id: mia, bob.id: bob}
