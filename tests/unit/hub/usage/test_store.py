"""Counters add up and ids count once, on either database."""

from __future__ import annotations

import pytest

from kasbah.hub.usage import store
from tests.doubles.hub_services import HubServices

pytestmark = pytest.mark.asyncio


async def test_counters_add_up(stored: HubServices):
    async with stored.database.writing() as connection:
        await store.increase(connection, {"a": 2, "b": 1})
        await store.increase(connection, {"a": 3})
        assert await store.read_counters(connection) == {"a": 5, "b": 1}


async def test_an_id_counts_once_a_name(stored: HubServices):
    async with stored.database.writing() as connection:
        await store.add_uniques(connection, "users", [1, 2, 2])
        await store.add_uniques(connection, "users", [2, 3])
        await store.add_uniques(connection, "agents", [2])
        assert await store.count_uniques(connection) == {"users": 3, "agents": 1}
