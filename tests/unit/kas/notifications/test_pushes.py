"""Notices of pushes: none lost, none counted twice."""

from __future__ import annotations

import asyncio
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


@pytest.mark.asyncio
async def test_several_projects_are_watched_by_path_and_each_is_told_once():
    pushes = GitPushes()
    with pushes.watch_paths(["a/b", "c/d"]) as watch, pushes.watch_paths(["e/f"]) as other:
        for path in ("c/d", "a/b", "c/d", "A/B", "g/h"):
            await pushes.git_push(Push(1, path))
        assert [await watch.next(), await watch.next()] == [Push(1, "c/d"), Push(1, "a/b")]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await watch.next()
        await pushes.git_push(Push(3, "e/f"))
        assert await other.next() == Push(3, "e/f")


@pytest.mark.asyncio
async def test_nothing_is_left_of_paths_that_are_not_watched_any_more():
    pushes = GitPushes()
    with pushes.watch_paths(["a/b", "c/d", "a/b"]), pushes.watch_paths(["a/b"]):
        pass
    assert pushes._path_watches == {}
