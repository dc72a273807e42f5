from __future__ import annotations

import asyncio

import pytest

from kasbah.agentk.module import LatestValue


async def take(values: LatestValue[int], count: int) -> list[int]:
    """The first values somebody sees who looks whenever they change."""
    seen: list[int] = []
    async for value in values:
        seen.append(value)
        if len(seen) == count:
            break
    return seen


@pytest.mark.asyncio
async def test_only_the_newest_value_is_seen():
    values: LatestValue[int] = LatestValue()
    values.put(1)
    values.put(2)
    assert await take(values, 1) == [2]


@pytest.mark.asyncio
async def test_each_change_wakes_every_watcher():
    values: LatestValue[int] = LatestValue()
    async with asyncio.TaskGroup() as tasks:
        watchers = [tasks.create_task(take(values, 2)) for _ in range(2)]
        await asyncio.sleep(0)
        values.put(1)
        await asyncio.sleep(0)
        values.put(2)
    assert [watcher.result() for watcher in watchers] == [[1, 2], [1, 2]]


@pytest.mark.asyncio
async def test_putting_the_same_value_again_is_a_change():
    values: LatestValue[int] = LatestValue()
    async with asyncio.TaskGroup() as tasks:
        watcher = tasks.create_task(take(values, 2))
        for _ in range(2):
            values.put(1)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    assert watcher.result() == [1, 1]
