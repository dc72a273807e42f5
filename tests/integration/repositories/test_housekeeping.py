"""Repacking, with the real git."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.gitrepo import housekeeping
from tests.integration.repositories.conftest import PROJECT


@pytest.mark.asyncio
async def test_an_untidy_repository_becomes_one_pack_and_keeps_its_content(host, git):
    async with host() as hosting:
        work = await git.make_work()
        for number in range(4):
            await git.commit(work, f"file-{number}", b"%d" % number)
            await git("push", "-q", hosting.url(), "main", cwd=work)
        before = await git("ls-remote", hosting.url())
        ended = await housekeeping.tidy(hosting.repository, hosting.store.settings)
        assert ended.code == 0, ended.stderr
        assert len(list(hosting.repository.glob("objects/pack/*.pack"))) == 1
        assert await git("ls-remote", hosting.url()) == before
        await git("clone", "-q", hosting.url(), "copy")


@pytest.mark.asyncio
async def test_many_refs_are_tidied_after_the_push_that_made_them(host, git):
    async with host() as hosting, asyncio.TaskGroup() as group:
        running = group.create_task(hosting.store.run())
        work = await git.make_work()
        refs = [f"main:refs/tags/v{number}" for number in range(housekeeping.MANY_LOOSE_REFS)]
        await git("push", "-q", hosting.url(), *refs, cwd=work)
        async with asyncio.timeout(20):
            while not (hosting.repository / "packed-refs").exists():  # noqa: ASYNC110 - git tells nobody
                await asyncio.sleep(0.05)
        assert len((await git("ls-remote", hosting.url())).splitlines()) == len(refs)
        running.cancel()


@pytest.mark.asyncio
async def test_a_repository_that_is_gone_does_not_end_housekeeping(host):
    async with host() as hosting, asyncio.TaskGroup() as group:
        running = group.create_task(hosting.store.run())
        hosting.store.housekeeping.note_push(PROJECT + 1)
        await asyncio.sleep(0.1)
        assert not running.done()
        running.cancel()
