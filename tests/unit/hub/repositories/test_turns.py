"""Turns, in all and for each caller."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.hub.repositories.turns import BusyError, Turns


@pytest.mark.asyncio
async def test_a_caller_gets_a_share_and_not_the_whole():
    turns = Turns(total=3, per_caller=1, wait_s=0.01)
    async with turns.turn("a"):
        with pytest.raises(BusyError):
            async with turns.turn("a"):
                raise AssertionError("one too many")
        async with turns.turn("b"):
            pass


@pytest.mark.asyncio
async def test_all_callers_share_the_whole():
    turns = Turns(total=1, per_caller=1, wait_s=0.01)
    async with turns.turn("a"):
        with pytest.raises(BusyError):
            async with turns.turn("b"):
                raise AssertionError("one too many")


@pytest.mark.asyncio
async def test_who_waits_gets_the_turn_that_is_given_back():
    turns = Turns(total=1, per_caller=1, wait_s=5)
    order: list[str] = []

    async def take(name: str) -> None:
        async with turns.turn("a"):
            order.append(name)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for name in ("first", "second", "third"):
            group.create_task(take(name))
    assert order == ["first", "second", "third"]


@pytest.mark.asyncio
async def test_a_failure_gives_the_turn_back_and_callers_are_forgotten():
    turns = Turns(total=1, per_caller=1, wait_s=0.01)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with turns.turn("a"):
                raise ZeroDivisionError
    assert turns._shares == {}
