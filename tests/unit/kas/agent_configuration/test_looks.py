"""Looks that are shared, and never older than asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from kasbah.errors import PeerError
from kasbah.kas.agent_configuration.looks import SharedLooks


@dataclass
class Branch:
    """Something to look at, that answers when it is let."""

    value: int = 1
    looks: int = 0
    open: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None

    def look(self) -> Callable[[], Awaitable[int]]:
        async def look() -> int:
            self.looks += 1
            value = self.value
            await self.open.wait()
            if self.error is not None:
                raise self.error
            return value

        return look


def now() -> float:
    return asyncio.get_running_loop().time()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_a_look_answers_everybody_who_asked_before_it_began():
    looks, branch = SharedLooks[str, int](10), Branch()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(looks.get("a", branch.look(), since=now()))
        await turns()
        branch.value = 2  # after the first look began
        others = [tasks.create_task(looks.get("a", branch.look(), since=now())) for _ in range(10)]
        await turns()
        branch.open.set()
    assert first.result() == 1
    assert {other.result() for other in others} == {2}
    assert branch.looks == 2


@pytest.mark.asyncio
async def test_an_older_look_will_do_for_who_says_so():
    looks, branch = SharedLooks[str, int](10), Branch()
    branch.open.set()
    before = now()
    assert await looks.get("a", branch.look(), since=before) == 1
    branch.value = 2
    assert await looks.get("a", branch.look(), since=before) == 1
    assert await looks.get("a", branch.look(), since=now()) == 2
    assert await looks.get("b", branch.look(), since=before) == 2
    assert branch.looks == 3


@pytest.mark.asyncio
async def test_a_look_that_failed_has_failed_for_all_it_would_have_answered():
    looks, branch = SharedLooks[str, int](10), Branch(error=PeerError("away"))
    branch.open.set()
    before = now()
    for _ in range(3):
        with pytest.raises(PeerError, match="away"):
            await looks.get("a", branch.look(), since=before)
    assert branch.looks == 1
    branch.error = None
    assert await looks.get("a", branch.look(), since=now()) == 1


@pytest.mark.asyncio
async def test_who_gives_up_looking_leaves_the_turn_to_the_next():
    looks, branch = SharedLooks[str, int](10), Branch()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(looks.get("a", branch.look(), since=now()))
        second = tasks.create_task(looks.get("a", branch.look(), since=now()))
        await turns()
        first.cancel()
        branch.open.set()
    assert second.result() == 1
    assert branch.looks == 2


@pytest.mark.asyncio
async def test_only_the_last_things_are_remembered():
    looks, branch = SharedLooks[int, int](2), Branch()
    branch.open.set()
    for number in range(5):
        await looks.get(number, branch.look(), since=0)
    assert list(looks._entries) == [3, 4]
