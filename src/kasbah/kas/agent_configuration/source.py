"""Finds an agent's newest configuration on the Git side, and tells the Git side what it means.

Where does the default branch stand, what does the file say there, who may use the agent: each is asked or told once for
all calls that want it at the same time. The Git side answers in full or the look failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kasbah.errors import UserError
from kasbah.kas.agent_configuration import reader
from kasbah.kas.agent_configuration.looks import SharedLooks
from kasbah.kas.agent_configuration.settings import Settings
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.errors import (
    FileTooLargeError,
    HubNotFoundError,
    HubUnavailableError,
    NotARegularFileError,
)
from kasbah.kas.hub_client.records import AgentInfo
from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration, ConfigurationFile

_MOST_PROJECTS: Final = 10_000
_MOST_CONFIGURATIONS: Final = 64
"""Of up to 128 KiB each; only calls that look at the same time share one."""
_SECTIONS: Final = (
    "gitops",
    "observability",
    "ci_access",
    "container_scanning",
    "remote_development",
    "flux",
)
"""The sections agentk gets; `user_access` is the Git side's business alone."""


class UnusableConfigurationError(UserError):
    """The file at a commit cannot be used.

    Attributes:
        commit_id: the commit.
    """

    def __init__(self, message: str, commit_id: str) -> None:
        super().__init__(message)
        self.commit_id = commit_id


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConfiguration:
    """An agent's configuration at a commit."""

    commit_id: str
    configuration: AgentConfiguration
    document: Mapping[str, Any]
    """The whole file, for the Git side."""
    lines: Mapping[str, int]
    """Where its entries stand."""


class ConfigurationSource:
    """Reads through one hub client."""

    def __init__(self, hub: HubClient, settings: Settings) -> None:
        self._hub = hub
        self._settings = settings

        self._heads = SharedLooks[int, str | None](_MOST_PROJECTS)
        self._configurations = SharedLooks[tuple[AgentInfo, str], NewConfiguration](_MOST_CONFIGURATIONS)
        self._told = SharedLooks[int, str](_MOST_PROJECTS)

    async def head(self, project_id: int, *, since: float) -> str | None:
        """The commit of the default branch, at some time `since`; None while nothing was pushed."""

        async def look() -> str | None:
            return (await self._hub.repository_head(project_id)).commit_id

        return await self._heads.get(project_id, look, since=since)

    async def at(self, agent: AgentInfo, commit_id: str, *, since: float) -> NewConfiguration:
        """The configuration at a commit; empty when there is no file.

        Raises:
            UnusableConfigurationError: the file cannot be used; the text says why.
            HubError: it could not be read.
        """
        return await self._configurations.get(
            (agent, commit_id), lambda: self._read(agent, commit_id), since=since
        )

    async def tell(self, agent_id: int, new: NewConfiguration, *, since: float) -> None:
        """Let the Git side know what the file says, unless it was told `since`; it decides who may use the agent.

        Raises:
            HubError: it could not be told.
        """

        async def tell() -> str:
            await self._hub.agent_configuration(
                agent_id, new.document, lines=new.lines, commit_id=new.commit_id
            )
            return new.commit_id

        # Only what was told last counts: a branch may be set back.
        while await self._told.get(agent_id, tell, since=since) != new.commit_id:
            since = asyncio.get_running_loop().time()

    async def _read(self, agent: AgentInfo, commit_id: str) -> NewConfiguration:
        limit = self._settings.max_configuration_file_size
        path = f".gitlab/agents/{agent.agent_name}/config.yaml"
        try:
            text = await self._hub.repository_file(agent.project_id, commit_id, path, max_bytes=limit)
            read = reader.read(text, limit)
        except HubNotFoundError as error:
            raise HubUnavailableError(f"commit {commit_id} is gone: {error}") from error
        except (FileTooLargeError, NotARegularFileError) as error:
            raise UnusableConfigurationError(f"agent configuration file: {error}", commit_id) from error
        except reader.UnreadableConfigurationError as error:
            problem = f"failed to parse agent configuration: {path}: {error}"
            raise UnusableConfigurationError(problem, commit_id) from error
        except reader.InvalidConfigurationError as error:
            problem = f"invalid agent configuration: {path}: {error}"
            raise UnusableConfigurationError(problem, commit_id) from error
        configuration = self._for_agent(agent, read.file)
        return NewConfiguration(
            commit_id=commit_id, configuration=configuration, document=read.document, lines=read.lines
        )

    def _for_agent(self, agent: AgentInfo, file: ConfigurationFile) -> AgentConfiguration:
        configuration = AgentConfiguration(
            agent_id=agent.agent_id,
            project_id=agent.project_id,
            project_path=agent.project_path,
            gitlab_external_url=self._settings.gitlab_external_url,
        )
        for section in _SECTIONS:
            if file.HasField(section):
                getattr(configuration, section).CopyFrom(getattr(file, section))
        return configuration
