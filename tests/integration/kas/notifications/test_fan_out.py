"""A push told to one kas reaches all, with Redis there, gone, and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from kasbah.kas.notifications.fan_out import SharedGitPushes
from tests.doubles.redis_server import RedisServer, client_of, running_server


@dataclass(frozen=True)
class Push:
    project_id: int = 31
    full_path: str = "ops/fleet"


@asynccontextmanager
async def replicas(server: RedisServer, count: int = 2) -> AsyncIterator[list[SharedGitPushes]]:
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        made = [
            SharedGitPushes(await stack.enter_async_context(client_of(server.settings())))
            for _ in range(count)
        ]
        running = [tasks.create_task(pushes.run()) for pushes in made]
        try:
            yield made
        finally:
            for task in running:
                task.cancel()


async def arrives(told: SharedGitPushes, heard: SharedGitPushes) -> None:
    """Tell until it is heard: who subscribes needs a moment, and notices may be lost."""
    with heard.watch(31) as watch:
        async with asyncio.timeout(10):
            await told.git_push(Push())
            while not await watch.wait(0.1):
                await told.git_push(Push())


@pytest.mark.asyncio
async def test_a_push_reaches_every_replica():
    with running_server() as server:
        async with replicas(server, 3) as (told, one, two):
            await arrives(told, one)
            await arrives(told, two)
            with one.watch(32) as other, one.watch_paths(["ops/fleet"]) as paths:
                await told.git_push(Push())
                assert (await paths.next()).full_path == "ops/fleet"
                assert not await other.wait(0)


@pytest.mark.asyncio
async def test_without_redis_only_who_waits_here_hears_and_all_do_when_it_is_back():
    with running_server() as server:
        async with replicas(server) as (told, heard):
            await arrives(told, heard)
            server.stop()
            with told.watch(31) as here, heard.watch(31) as there:
                await there.wait(0.05)
                await told.git_push(Push())
                assert await here.wait(0)
                assert not await there.wait(0.05)
            server.start()
            await arrives(told, heard)
