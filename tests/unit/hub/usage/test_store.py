"""Counters add up and ids count once, on either database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kasbah.hub.usage import store
from tests.doubles.hub_services import START, HubServices

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


async def test_a_report_is_known_until_it_is_forgotten(stored: HubServices):
    later = START + timedelta(days=1)
    async with stored.database.writing() as connection:
        assert await store.first_time(connection, "a", START)
        assert not await store.first_time(connection, "a", later)
        assert await store.first_time(connection, "b", later)
        await store.forget_reports(connection, later)
        assert await store.first_time(connection, "a", later)
        assert not await store.first_time(connection, "b", later)
