"""What kas reads."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pygit2
import pytest
from starlette.responses import Response

from kasbah.gitrepo import listing
from kasbah.hub.errors import NotFoundError
from kasbah.hub.repositories import internal
from kasbah.hub.repositories.store import RepositoryStore
from kasbah.hub.rest.access import KAS
from kasbah.hub.rest.call import Call
from kasbah.hub.rest.errors import ApiError
from kasbah.hub.rest.parameters import ParametersError
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


def test_the_routes_are_for_kas_alone(routes):
    names = ("repository_head", "repository_ref", "repository_tree", "repository_file")
    assert {name: (route.method, route.access) for name, route in routes.items()} == dict.fromkeys(
        names, ("GET", KAS)
    )


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
    for revision, path, what in [
        (commit, "absent", "File"),
        ("1" * 40, "file", "Commit"),
        ("main", "file", "Commit"),
    ]:
        with pytest.raises(NotFoundError) as missing:
            await read_file(routes, revision, path)
        assert missing.value.what == what


async def resolved(routes: dict[str, Route[Any]], **ref: str) -> object:
    answer = await routes["repository_ref"].handler(NO_CALL, internal.RepositoryRefParameters(7, **ref))
    return answer.body["commit_id"]


@pytest.mark.asyncio
async def test_a_ref_is_a_branch_a_tag_a_commit_or_the_default_branch(routes, store):
    await store.create(7, "main")
    assert await resolved(routes) is None
    commit = commit_to(store)
    pygit2.Repository(str(store.path(7))).create_reference("refs/tags/v1", commit)
    assert await resolved(routes) == commit
    assert await resolved(routes, branch="main") == commit
    assert await resolved(routes, tag="v1") == commit
    assert await resolved(routes, commit=commit) == commit


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "ref",
    [{"branch": "v1"}, {"tag": "main"}, {"commit": "1" * 40}, {"commit": "HEAD"}, {"branch": "../HEAD"}],
)
async def test_a_ref_that_is_absent_is_not_found(routes, store, ref):
    await store.create(7, "main")
    commit_to(store)
    with pytest.raises(NotFoundError) as missing:
        await resolved(routes, **ref)
    assert missing.value.what == "Ref"


@pytest.mark.asyncio
async def test_one_ref_at_a_time(routes):
    with pytest.raises(ParametersError, match="mutually exclusive"):
        await resolved(routes, branch="main", tag="v1")


@pytest.mark.asyncio
async def test_a_tree_lists_files(routes, store):
    await store.create(7, "main")
    commit = commit_to(store)
    answer = await routes["repository_tree"].handler(NO_CALL, internal.RepositoryTreeParameters(7, commit))
    assert msgspec.to_builtins(answer.body) == {
        "files": [
            {"path": "file", "mode": "100644", "size": 8},
            {"path": "link", "mode": "120000", "size": 4},
        ]
    }


@pytest.mark.asyncio
async def test_a_tree_that_is_too_large_or_absent_is_refused(routes, store, monkeypatch):
    await store.create(7, "main")
    commit = commit_to(store)
    with pytest.raises(NotFoundError) as missing:
        await routes["repository_tree"].handler(NO_CALL, internal.RepositoryTreeParameters(7, "main"))
    assert missing.value.what == "Commit"
    monkeypatch.setattr(listing, "MAX_ENTRIES", 1)
    with pytest.raises(ApiError) as caught:
        await routes["repository_tree"].handler(NO_CALL, internal.RepositoryTreeParameters(7, commit))
    assert caught.value.status == 413


@pytest.mark.asyncio
async def test_a_project_that_is_absent_is_not_found(routes):
    for name, parameters in [
        ("repository_head", internal.RepositoryHeadParameters(8)),
        ("repository_ref", internal.RepositoryRefParameters(8)),
        ("repository_tree", internal.RepositoryTreeParameters(8, "1" * 40)),
        ("repository_file", internal.RepositoryFileParameters(8, "1" * 40, "file", 1)),
    ]:
        with pytest.raises(NotFoundError) as missing:
            await routes[name].handler(NO_CALL, parameters)
        assert missing.value.what == "Project"
