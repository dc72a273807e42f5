"""What kas reads."""

from __future__ import annotations

from typing import Any, cast

import pygit2
import pytest
from starlette.responses import Response

from kasbah.hub.errors import NotFoundError
from kasbah.hub.repositories import internal
from kasbah.hub.repositories.store import RepositoryStore
from kasbah.hub.rest.access import KAS
from kasbah.hub.rest.call import Call
from kasbah.hub.rest.errors import ApiError
from kasbah.hub.rest.reply import Reply
from kasbah.hub.rest.router import Route
from tests.doubles.git_accounts import FakeProjects, make_project

NO_CALL = cast("Call", None)  # these handlers look at their parameters alone


def commit_to(store: RepositoryStore) -> str:
    git = pygit2.Repository(str(store.path(7)))
    author = pygit2.Signature("Test", "t@example.com", 1_700_000_000, 0)
    tree = git.TreeBuilder()
    tree.insert("file", git.create_blob(b"\0content"), pygit2.enums.FileMode.BLOB)
    tree.insert("link", git.create_blob(b"file"), pygit2.enums.FileMode.LINK)
    return str(git.create_commit("refs/heads/main", author, author, "first", tree.write(), []))


@pytest.fixture
def routes(tmp_path) -> dict[str, Route[Any]]:
    projects = FakeProjects()
    projects.add(make_project())
    found = internal.routes(RepositoryStore(tmp_path), projects)
    return {route.path.rpartition("/")[2]: route for route in found}


@pytest.fixture
def store(tmp_path) -> RepositoryStore:
    return RepositoryStore(tmp_path)


async def read_file(
    routes: dict[str, Route[Any]], commit_id: str, path: str, max_bytes: int = 100
) -> Response:
    parameters = internal.RepositoryFileParameters(7, commit_id, path, max_bytes)
    answer = await routes["repository_file"].handler(NO_CALL, parameters)
    assert isinstance(answer, Response)
    return answer


def test_both_routes_are_for_kas_alone(routes):
    assert {name: (route.method, route.access) for name, route in routes.items()} == {
        "repository_head": ("GET", KAS),
        "repository_file": ("GET", KAS),
    }


@pytest.mark.asyncio
async def test_the_head_of_an_empty_repository_has_no_commit(routes, store):
    await store.create(7, "main")
    answer = await routes["repository_head"].handler(NO_CALL, internal.RepositoryHeadParameters(7))
    assert answer == Reply({"default_branch": "main", "commit_id": None})
    commit = commit_to(store)
    answer = await routes["repository_head"].handler(NO_CALL, internal.RepositoryHeadParameters(7))
    assert answer == Reply({"default_branch": "main", "commit_id": commit})


@pytest.mark.asyncio
async def test_a_file_comes_as_its_bytes(routes, store):
    await store.create(7, "main")
    answer = await read_file(routes, commit_to(store), "file")
    assert (answer.body, answer.media_type) == (b"\0content", "application/octet-stream")


@pytest.mark.asyncio
async def test_each_refusal_has_its_status(routes, store):
    await store.create(7, "main")
    commit = commit_to(store)
    for path, limit, status in [("file", 7, 413), ("link", 100, 422)]:
        with pytest.raises(ApiError) as caught:
            await read_file(routes, commit, path, limit)
        assert caught.value.status == status
    for revision, path in [(commit, "absent"), ("1" * 40, "file"), ("main", "file")]:
        with pytest.raises(NotFoundError) as missing:
            await read_file(routes, revision, path)
        assert missing.value.what == "File"


@pytest.mark.asyncio
async def test_a_project_that_is_absent_is_not_found(routes):
    with pytest.raises(NotFoundError) as missing:
        await routes["repository_head"].handler(NO_CALL, internal.RepositoryHeadParameters(8))
    assert missing.value.what == "Project"
