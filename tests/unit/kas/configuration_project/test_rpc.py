"""Which files configure which agents."""

from __future__ import annotations

import pytest

from kasbah.errors import PeerError
from kasbah.kas.configuration_project import rpc
from kasbah.kas.hub_client.errors import HubNotFoundError, HubUnavailableError
from kasbah.kas.hub_client.records import Ref, RepositoryFile
from kasbah.wire.pb.gitlab.agent.configuration_project.rpc.rpc_pb2 import ListAgentConfigFilesRequest
from kasbah.wire.pb.gitlab.agent.entity.entity_pb2 import GitalyInfo, GitalyRepository
from kasbah.wire.rpc import RpcError, StatusCode

pytestmark = pytest.mark.asyncio

COMMIT = "a" * 40


class Repositories:
    """One project, 31, with a branch `main` that holds these files."""

    def __init__(self, *paths: str, links: tuple[str, ...] = (), error: PeerError | None = None) -> None:
        self._files = [RepositoryFile(path=path, mode="100644", size=1) for path in paths]
        self._files += [RepositoryFile(path=path, mode="120000", size=1) for path in links]
        self._error = error

    async def repository_ref(self, project_id: int, ref: Ref | None = None) -> str | None:
        if project_id != 31 or ref not in {None, Ref("branch", "main"), Ref("branch", "empty")}:
            raise HubNotFoundError("404 Ref Not Found")
        if self._error is not None:
            raise self._error
        return None if ref == Ref("branch", "empty") else COMMIT

    async def repository_tree(
        self, project_id: int, commit_id: str, *, path: str = "", depth: int | None = None
    ) -> tuple[RepositoryFile, ...]:
        assert (project_id, commit_id, path, depth) == (31, COMMIT, ".gitlab/agents", 2)
        return tuple(self._files)


def request(gl_repository: str = "project-31", branch: str = "") -> ListAgentConfigFilesRequest:
    return ListAgentConfigFilesRequest(
        repository=GitalyRepository(gl_repository=gl_repository),
        gitaly_info=GitalyInfo(),
        default_branch=branch,
    )


async def listed(repositories: Repositories, asked: ListAgentConfigFilesRequest) -> list[tuple[str, str]]:
    ((_, answer),) = rpc.services(repositories)
    return [(file.name, file.agent_name) for file in (await answer(None, asked)).config_files]


@pytest.mark.parametrize("branch", ["", "main"])
async def test_the_configurations_are_listed_by_agent(branch: str):
    repositories = Repositories(".gitlab/agents/prod-eu/config.yaml", ".gitlab/agents/a/config.yaml")
    assert await listed(repositories, request(branch=branch)) == [
        (".gitlab/agents/prod-eu/config.yaml", "prod-eu"),
        (".gitlab/agents/a/config.yaml", "a"),
    ]


async def test_other_files_are_not():
    repositories = Repositories(
        ".gitlab/agents/config.yaml",
        ".gitlab/agents/-a/config.yaml",
        ".gitlab/agents/a-/config.yaml",
        ".gitlab/agents/A/config.yaml",
        ".gitlab/agents/a/config.yml",
        ".gitlab/agents/a/b/config.yaml",
        ".gitlab/agents/a\n/config.yaml",
        ".gitlab/agents/" + "a" * 64 + "/config.yaml",
        links=(".gitlab/agents/link/config.yaml",),
    )
    assert await listed(repositories, request()) == []


@pytest.mark.parametrize(
    "asked", [request("project-32"), request(branch="gone"), request(branch="empty")], ids=range(3)
)
async def test_what_is_not_there_has_no_files(asked: ListAgentConfigFilesRequest):
    assert await listed(Repositories(".gitlab/agents/a/config.yaml"), asked) == []


@pytest.mark.parametrize(
    "asked",
    [
        ListAgentConfigFilesRequest(),
        ListAgentConfigFilesRequest(gitaly_info=GitalyInfo()),
        ListAgentConfigFilesRequest(repository=GitalyRepository(gl_repository="project-31")),
        request(""),
        request("wiki-31"),
        request("project-0"),
        request("project-31-x"),
        request("project-" + "9" * 30),
    ],
    ids=range(8),
)
async def test_a_repository_that_is_not_named_is_refused(asked: ListAgentConfigFilesRequest):
    with pytest.raises(RpcError) as caught:
        await listed(Repositories(), asked)
    assert caught.value.code is StatusCode.INVALID_ARGUMENT


async def test_a_git_side_that_is_away_is_an_error_of_its_own():
    with pytest.raises(HubUnavailableError):
        await listed(Repositories(error=HubUnavailableError("away")), request())
