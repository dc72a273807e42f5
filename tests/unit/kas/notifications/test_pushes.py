"""Notices of pushes: none lost, none counted twice."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from kasbah.kas.notifications.pushes import GitPushes


@dataclass(frozen=True)
class Push:
    project_id: int
    full_path: str = "a/b"


@pytest.mark.asyncio
async def test_everybody_who_watches_the_project_is_woken():
    pushes = GitPushes()
    with pushes.watch(1) as one, pushes.watch(1) as two, pushes.watch(2) as other:
        await pushes.git_push(Push(1))
        assert await one.wait(0)
        assert await two.wait(0)
        assert not await other.wait(0)


@pytest.mark.asyncio
async def test_many_pushes_between_two_looks_are_one_notice():
    pushes = GitPushes()
    with pushes.watch(1) as watch:
        for _ in range(3):
            await pushes.git_push(Push(1))
        assert await watch.wait(0)
        assert not await watch.wait(0)


@pytest.mark.asyncio
async def test_nothing_is_left_of_a_watch_that_ended():
    pushes = GitPushes()
    with pushes.watch(1):
        pass
    await pushes.git_push(Push(1))
    assert pushes._watches == {}
