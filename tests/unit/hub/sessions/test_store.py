"""Browser sessions, on either database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kasbah.hub.sessions import store
from kasbah.hub.sessions.model import MOST_OF_ONE_USER
from tests.doubles.hub_services import START, HubServices

pytestmark = pytest.mark.asyncio


async def insert(
    hub: HubServices, cookie_hash: str, *, user_id: int = 1, token_id: int | None = None
) -> None:
    async with hub.database.writing() as connection:
        await store.insert(
            connection,
            user_id=user_id,
            token_id=token_id,
            cookie_hash=cookie_hash,
            csrf_hash="c" * 64,
            now=START,
            expires_at=START + timedelta(days=1),
        )


async def test_a_session_is_found_by_its_cookie(stored: HubServices):
    mia = await stored.user("mia")
    await insert(stored, "a" * 64, user_id=mia.id)
    async with stored.database.reading() as connection:
        found = await store.find(connection, "a" * 64)
        assert await store.find(connection, "b" * 64) is None
    assert found is not None
    assert (found.user_id, found.token_id, found.csrf_hash) == (mia.id, None, "c" * 64)
    assert found.expires_at == START + timedelta(days=1)


async def test_a_tokens_sessions_end_together(stored: HubServices):
    mia = await stored.user("mia")
    await stored.pat(mia)
    for cookie_hash, token_id in (("a" * 64, 1), ("b" * 64, 1), ("c" * 64, None)):
        await insert(stored, cookie_hash, user_id=mia.id, token_id=token_id)
    async with stored.database.writing() as connection:
        await store.end_of_token(connection, 1)
        left = [await store.find(connection, letter * 64) is not None for letter in "abc"]
    assert left == [False, False, True]


async def test_what_has_expired_goes_and_so_do_too_many(stored: HubServices):
    mia, ben = await stored.user("mia"), await stored.user("ben")
    await insert(stored, "ben", user_id=ben.id)
    for number in range(MOST_OF_ONE_USER + 1):
        await insert(stored, f"{number:064}", user_id=mia.id)
    async with stored.database.writing() as connection:
        await store.drop_old(connection, mia.id, START)
        found = [await store.find(connection, key) is not None for key in (f"{0:064}", f"{1:064}", "ben")]
        await store.drop_old(connection, mia.id, START + timedelta(days=1))
        assert await store.find(connection, "ben") is None
    assert found == [False, True, True]
