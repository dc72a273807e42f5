"""Answers ConfigurationProject of the internal API: where a project keeps its agents' configurations.

The repository is named in Gitaly's words; `gl_repository` says which project it is, and its files are read from the Git
side like every other. A repository or branch that is not there has no files.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from kasbah.kas.hub_client.errors import HubNotFoundError
from kasbah.kas.hub_client.records import Ref, RepositoryFile
from kasbah.rpc.server import Service
from kasbah.wire.methods import LIST_AGENT_CONFIG_FILES
from kasbah.wire.pb.gitlab.agent.configuration_project.rpc.rpc_pb2 import (
    AgentConfigFile,
    ListAgentConfigFilesRequest,
    ListAgentConfigFilesResponse,
)
from kasbah.wire.rpc import RpcError, StatusCode

_DIRECTORY: Final = ".gitlab/agents"
_CONFIGURATION: Final = re.compile(r"\.gitlab/agents/([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)/config\.yaml")
_PROJECT: Final = re.compile(r"project-([1-9][0-9]{0,17})")


class Repositories(Protocol):
    """The Git side; `HubClient` is one."""

    async def repository_ref(self, project_id: int, ref: Ref | None = None) -> str | None: ...

    async def repository_tree(
        self, project_id: int, commit_id: str, *, path: str = "", depth: int | None = None
    ) -> tuple[RepositoryFile, ...]: ...


class ConfigurationProjectApi:
    """The handler, over the Git side."""

    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories

    async def list_agent_config_files(
        self, _call: object, request: ListAgentConfigFilesRequest
    ) -> ListAgentConfigFilesResponse:
        """The configurations on the default branch, by agent."""
        if not request.HasField("repository") or not request.HasField("gitaly_info"):
            raise RpcError(StatusCode.INVALID_ARGUMENT, "repository and gitaly_info are required")
        project = _PROJECT.fullmatch(request.repository.gl_repository)
        if project is None:
            raise RpcError(StatusCode.INVALID_ARGUMENT, "repository.gl_repository must be project-<id>")
        files = await self._files(int(project[1]), request.default_branch)
        found = [(file.path, _CONFIGURATION.fullmatch(file.path)) for file in files if file.is_regular]
        return ListAgentConfigFilesResponse(
            config_files=[AgentConfigFile(name=path, agent_name=match[1]) for path, match in found if match]
        )

    async def _files(self, project_id: int, branch: str) -> tuple[RepositoryFile, ...]:
        try:
            ref = Ref("branch", branch) if branch else None
            commit_id = await self._repositories.repository_ref(project_id, ref)
            if commit_id is None:
                return ()
            return await self._repositories.repository_tree(project_id, commit_id, path=_DIRECTORY, depth=2)
        except HubNotFoundError:
            return ()


def services(repositories: Repositories) -> list[Service[object]]:
    """The calls this feature answers."""
    return [(LIST_AGENT_CONFIG_FILES, ConfigurationProjectApi(repositories).list_agent_config_files)]
