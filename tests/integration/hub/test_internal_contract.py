"""The hub in memory that kas' unit tests use, and the real one: asked the same over kas' client, they answer the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from kasbah.kas.hub_client import errors
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.module_request import checked
from kasbah.kas.hub_client.records import ProjectInfo, Ref, RepositoryHead
from kasbah.kit.secrets import Secret
from tests.doubles.fake_hub import SECRET, FakeHub
from tests.integration.hub.conftest import KAS_KEY, URL, World
from tests.integration.repositories.conftest import Git, serving_application

pytestmark = pytest.mark.asyncio

FILES = {"README.md": b"readme\n", "a/one.yaml": b"1\n", "a/b/two.yaml": b"22\n"}
LINK = ("a/link", b"one.yaml")
NO_COMMIT = "f" * 40


@dataclass
class Side:
    """One Git side with the same things on it: ops/fleet with an agent, ops/secret without, and the same files in both."""

    client: HubClient
    token: Secret
    project_id: int
    empty_id: int
    commit_id: str
    """Where the branch main and the tag v1 stand."""


@pytest_asyncio.fixture(params=["in memory", "real"])
async def side(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Side:
    return await (_real(world, tmp_path) if request.param == "real" else _in_memory())


async def _in_memory() -> Side:
    commit_id = "c" * 40
    hub = FakeHub(
        files=dict(FILES),
        links=dict([LINK]),
        commit_id=commit_id,
        refs={("branch", "main"): commit_id, ("tag", "v1"): commit_id},
        projects={"ops/fleet": 31, "open/empty": 33},
    )
    hub.empty = {33}
    return Side(HubClient(hub.client(), SECRET), Secret(hub.token), 31, 33, commit_id)


async def _real(world: World, tmp_path: Path) -> Side:
    group = await world.group("ops", visibility="public")
    opened = await world.group("open", visibility="public")
    fleet = await world.project("fleet", namespace_id=group)
    await world.project("secret", namespace_id=group)
    empty = await world.project("empty", namespace_id=opened, visibility="public")
    token = (await world.agent_token(fleet, await world.agent(fleet, "prod-eu")))["token"]
    home = tmp_path / "home"
    home.mkdir()
    git = Git(home)
    work = await git.make_work()
    for path, content in FILES.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_bytes(content)
    (work / LINK[0]).symlink_to(LINK[1].decode())
    commit_id = await git.commit(work, "README.md", FILES["README.md"])
    await git("tag", "-a", "-m", "one", "v1", cwd=work)
    async with serving_application(world.app.asgi) as port:
        for project in ("ops/fleet", "ops/secret"):
            url = f"http://root:{world.root_token}@127.0.0.1:{port}/{project}.git"
            await git("push", "-q", url, "main", "v1", cwd=work)
    transport = httpx2.ASGITransport(world.app.asgi, raise_app_exceptions=False)
    client = HubClient(httpx2.AsyncClient(transport=transport, base_url=URL), KAS_KEY)
    return Side(client, Secret(token), fleet, empty, commit_id)


Question = Callable[[Side], Awaitable[Any]]


async def outcome(question: Question, side: Side) -> Any:
    """The answer, or the class of the refusal."""
    try:
        return await question(side)
    except errors.HubError as error:
        return type(error)


async def module(side: Side) -> tuple[int, bytes]:
    request = checked("PUT", "starboard_vulnerability", "/", {}, {})
    async with side.client.module_request(side.token, request, None) as answer:
        return answer.status, b"".join([chunk async for chunk in answer.chunks()])


async def listed(side: Side, path: str, depth: int | None = None) -> list[tuple[str, str, int]]:
    files = await side.client.repository_tree(side.project_id, side.commit_id, path=path, depth=depth)
    return [(file.path, file.mode, file.size) for file in files]


async def test_the_agent_and_its_project(side: Side):
    info = await side.client.agent_info(side.token)
    assert (info.project_id, info.agent_name, info.project_path) == (side.project_id, "prod-eu", "ops/fleet")
    assert await side.client.project_info(side.token, "ops/fleet") == ProjectInfo(
        project_id=side.project_id, project_path="ops/fleet", default_branch="main"
    )
    await side.client.verify_project_access(side.token, "ops/fleet")
    await side.client.verify_project_access(side.token, "open/empty")


REFUSALS: list[tuple[Question, type[errors.HubError]]] = [
    (lambda s: s.client.project_info(s.token, "ops/secret"), errors.HubNotFoundError),
    (lambda s: s.client.project_info(s.token, "no/where"), errors.HubNotFoundError),
    (lambda s: s.client.verify_project_access(s.token, "ops/secret"), errors.HubNotFoundError),
    (lambda s: s.client.project_info(Secret("x"), "ops/fleet"), errors.HubUnauthenticatedError),
    (lambda s: s.client.verify_project_access(Secret("x"), "ops/fleet"), errors.HubUnauthenticatedError),
    (lambda s: s.client.repository_ref(s.project_id, Ref("branch", "v1")), errors.RefNotFoundError),
    (lambda s: s.client.repository_ref(s.project_id, Ref("commit", NO_COMMIT)), errors.RefNotFoundError),
    (lambda s: s.client.repository_ref(999), errors.HubNotFoundError),
    (lambda s: s.client.repository_head(999), errors.HubNotFoundError),
    (lambda s: s.client.repository_tree(s.project_id, NO_COMMIT), errors.HubNotFoundError),
    (
        lambda s: s.client.repository_file(s.project_id, NO_COMMIT, "README.md", max_bytes=9),
        errors.HubNotFoundError,
    ),
    (
        lambda s: s.client.repository_file(s.project_id, s.commit_id, "README.md", max_bytes=6),
        errors.FileTooLargeError,
    ),
    (
        lambda s: s.client.repository_file(s.project_id, s.commit_id, "a/link", max_bytes=99),
        errors.NotARegularFileError,
    ),
]


async def test_refusals_have_their_names(side: Side):
    outcomes = [await outcome(question, side) for question, _ in REFUSALS]
    assert outcomes == [expected for _, expected in REFUSALS]


async def test_refs_stand_for_commits(side: Side):
    client, project_id = side.client, side.project_id
    assert await client.repository_head(project_id) == RepositoryHead(
        default_branch="main", commit_id=side.commit_id
    )
    refs = [None, Ref("branch", "main"), Ref("tag", "v1"), Ref("commit", side.commit_id)]
    assert [await client.repository_ref(project_id, ref) for ref in refs] == [side.commit_id] * 4
    assert await client.repository_ref(side.empty_id) is None
    assert (await client.repository_head(side.empty_id)).commit_id is None


async def test_files_are_listed_and_read(side: Side):
    everything = [
        ("README.md", "100644", 7),
        ("a/b/two.yaml", "100644", 3),
        ("a/link", "120000", 8),
        ("a/one.yaml", "100644", 2),
    ]
    assert await listed(side, "") == everything
    assert await listed(side, "a") == everything[1:]
    assert await listed(side, "a", 1) == everything[2:]
    assert await listed(side, "absent") == []
    for path, content in FILES.items():
        read = await side.client.repository_file(side.project_id, side.commit_id, path, max_bytes=9)
        assert read == content
    assert await side.client.repository_file(side.project_id, side.commit_id, "absent", max_bytes=9) is None


async def test_a_module_nobody_has_is_not_found(side: Side):
    assert await module(side) == (404, b'{"error":"404 Not Found"}')
