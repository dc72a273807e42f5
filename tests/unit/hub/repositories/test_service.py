"""After a push: on disk, then told."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.hub.kas_client import GitPushEvent
from kasbah.hub.repositories.service import PushService
from kasbah.hub.repositories.store import RepositoryStore
from tests.doubles.git_accounts import FakeKasClient, FakeProjects, make_project


@pytest.fixture
def store(tmp_path) -> RepositoryStore:
    return RepositoryStore(tmp_path)


async def push(store: RepositoryStore, kas: FakeKasClient) -> FakeProjects:
    projects = FakeProjects()
    projects.add(make_project())
    await store.create(7, "main")
    await PushService(store, projects, kas).after_push(make_project(), (b"refs/heads/main",))
    return projects


@pytest.mark.asyncio
async def test_kas_is_told_and_the_project_was_active(store):
    kas = FakeKasClient()
    projects = await push(store, kas)
    assert kas.events == [GitPushEvent(project_id=7, full_path="group/sub/app")]
    assert projects.touched == [7]


@pytest.mark.asyncio
async def test_a_kas_that_is_away_fails_nothing(store):
    await push(store, FakeKasClient(away=True))


@pytest.mark.asyncio
async def test_a_kas_that_does_not_answer_is_not_waited_for(store):
    class Silent(FakeKasClient):
        async def git_push(self, event: GitPushEvent) -> None:
            await asyncio.Event().wait()

    projects = FakeProjects()
    projects.add(make_project())
    await store.create(7, "main")
    service = PushService(store, projects, Silent(), telling_s=0.01)
    await service.after_push(make_project(), (b"refs/heads/main",))
