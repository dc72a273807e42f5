"""After a push: on disk, then told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pygit2
import pytest

from kasbah.gitrepo.errors import GitFailedError
from kasbah.hub.errors import DatabaseUnavailableError
from kasbah.hub.identity import User
from kasbah.hub.kas_client import GitPushEvent
from kasbah.hub.repositories.service import PushService
from kasbah.hub.repositories.store import RepositoryStore
from tests.doubles.git_accounts import FakeKasClient, FakeProjects, make_project, make_protected, make_user


@pytest.fixture
def store(tmp_path) -> RepositoryStore:
    return RepositoryStore(tmp_path)


def commit_to(path: Path, *refs: str) -> None:
    git = pygit2.Repository(str(path))
    author = pygit2.Signature("Test", "t@example.com", 1_700_000_000, 0)
    commit = git.create_commit(None, author, author, "first", git.TreeBuilder().write(), [])
    for ref in refs:
        git.create_reference(ref, commit)


async def push(store: RepositoryStore, kas: FakeKasClient) -> FakeProjects:
    projects = FakeProjects()
    projects.add(make_project())
    await store.create(7, "main")
    await PushService(store, projects, kas).after_push(make_project(), make_user(), (b"refs/heads/main",))
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
    await service.after_push(make_project(), make_user(), (b"refs/heads/main",))


class FirstPush:
    """A repository without a default branch whose project protects `main`, and pushes to it."""

    def __init__(self, store: RepositoryStore, projects: FakeProjects | None = None) -> None:
        self.store = store
        self.projects = projects or FakeProjects()
        self.projects.add(make_project())
        self.projects.protected.append(make_protected("main"))

    async def push(self, user: User, *branches: str) -> None:
        refs = [f"refs/heads/{branch}" for branch in branches]
        commit_to(self.store.path(7), *refs)
        service = PushService(self.store, self.projects, FakeKasClient(), telling_s=0.01)
        await service.after_push(self.projects.projects[7], user, tuple(map(str.encode, refs)))

    async def default_branch(self) -> tuple[str, str]:
        """As Git has it and as the project has it."""
        head = await self.store.head(7)
        return head.default_branch, self.projects.projects[7].default_branch


@pytest.mark.asyncio
async def test_who_may_not_push_to_the_default_branch_does_not_choose_another(store):
    await store.create(7, "main")
    first = FirstPush(store)
    developer, maintainer = make_user(1), make_user(2)
    first.projects.roles = {(1, 7): 30, (2, 7): 40}
    await first.push(developer, "a")
    assert await first.default_branch() == ("main", "main")
    await first.push(maintainer, "trunk")
    assert await first.default_branch() == ("trunk", "trunk")


@pytest.mark.asyncio
async def test_an_administrator_chooses_and_so_does_everybody_where_nothing_is_protected(store):
    await store.create(7, "main")
    first = FirstPush(store)
    await first.push(make_user(is_admin=True), "trunk")
    assert await first.default_branch() == ("trunk", "trunk")
    await store.create(7, "main")
    first.projects.protected.clear()
    first.projects.roles[1, 7] = 30
    await first.push(make_user(), "topic")
    assert await first.default_branch() == ("topic", "topic")


@pytest.mark.asyncio
async def test_a_database_that_is_away_leaves_head_where_it_was_and_the_client_without_ok(store):
    class Away(FakeProjects):
        async def set_default_branch(self, project_id: int, branch: str) -> None:
            raise DatabaseUnavailableError("locked", retryable=True)

    await store.create(7, "main")
    first = FirstPush(store, Away())
    with pytest.raises(GitFailedError, match="could not be protected"):
        await first.push(make_user(is_admin=True), "trunk")
    assert await first.default_branch() == ("main", "main")


@pytest.mark.asyncio
async def test_a_slow_database_is_waited_for(store):
    class Slow(FakeProjects):
        async def set_default_branch(self, project_id: int, branch: str) -> None:
            await asyncio.sleep(0.05)
            await super().set_default_branch(project_id, branch)

    await store.create(7, "main")
    first = FirstPush(store, Slow())
    await first.push(make_user(is_admin=True), "trunk")
    assert await first.default_branch() == ("trunk", "trunk")


@pytest.mark.asyncio
async def test_a_project_that_lost_sight_of_its_head_finds_it_with_the_next_push(store):
    await store.create(7, "trunk")
    first = FirstPush(store)
    await first.push(make_user(is_admin=True), "trunk")
    assert await first.default_branch() == ("trunk", "trunk")
