"""CI jobs, on either database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from kasbah.hub.jobs import store
from kasbah.hub.jobs.model import Job, NewJob
from tests.doubles.hub_services import START, HubServices

pytestmark = pytest.mark.asyncio
PLAIN = NewJob(ref="refs/heads/main")


async def inserted(hub: HubServices, new: NewJob = PLAIN, token_hash: str = "a" * 64) -> Job:
    mia = await hub.accounts.find_by_username("mia") or await hub.user("mia")
    project = await hub.projects.find_by_path("mia/fleet") or await hub.project(mia, "fleet")
    async with hub.database.writing() as connection:
        return await store.insert(
            connection,
            new,
            token_hash,
            project_id=project.id,
            user_id=mia.id,
            protected=True,
            now=START,
        )


async def test_a_job_comes_back_as_it_went_in(stored: HubServices):
    new = NewJob(ref="refs/heads/main", environment="review/x", pipeline_id=800)
    job = await inserted(stored, new)
    async with stored.database.reading() as connection:
        assert await store.find_by_token(connection, "a" * 64) == job
        assert await store.find(connection, job.project_id, job.id) == job
        assert await store.find(connection, job.project_id + 1, job.id) is None
        assert await store.find_by_token(connection, "b" * 64) is None
    assert (job.pipeline_id, job.protected, job.status) == (800, True, "running")
    assert job.environment is not None
    assert (job.environment.name, job.environment.tier) == ("review/x", "development")
    assert job.expires_at == START + timedelta(hours=1)


async def test_without_a_pipeline_the_jobs_number_stands_for_it(stored: HubServices):
    job = await inserted(stored)
    assert job.pipeline_id == job.id
    assert job.environment is None


async def test_a_token_belongs_to_one_job(stored: HubServices):
    await inserted(stored)
    with pytest.raises(IntegrityError):
        await inserted(stored)


async def test_jobs_are_listed_newest_first(stored: HubServices):
    ids = [(await inserted(stored, token_hash=str(number) * 64)).id for number in range(3)]
    async with stored.database.reading() as connection:
        jobs, total = await store.list_of_project(connection, 1, limit=2, offset=1)
    assert ([job.id for job in jobs], total) == ([ids[1], ids[0]], 3)


async def test_a_finished_job_keeps_its_time(stored: HubServices):
    job = await inserted(stored)
    async with stored.database.writing() as connection:
        await store.finish(connection, job.id, START)
        await store.finish(connection, job.id, START + timedelta(hours=1))
        found = await store.find(connection, job.project_id, job.id)
    assert found is not None
    assert (found.status, found.finished_at) == ("finished", START)


async def test_old_jobs_are_forgotten(stored: HubServices):
    job = await inserted(stored)
    async with stored.database.writing() as connection:
        await store.forget(connection, job.expires_at)
        assert await store.find(connection, job.project_id, job.id) == job
        await store.forget(connection, job.expires_at + timedelta(seconds=1))
        assert await store.find(connection, job.project_id, job.id) is None
