"""Finds an agent's newest configuration on the Git side, and tells the Git side what it means.

One look a call: who is this agent now, where does its default branch stand, what does the file say there. The Git side
answers in full or the look failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kasbah.errors import UserError
from kasbah.kas.agent_configuration import reader
from kasbah.kas.agent_configuration.settings import Settings
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.errors import FileTooLargeError, NotARegularFileError
from kasbah.kas.hub_client.records import AgentInfo
from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration, ConfigurationFile

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


class ConfigurationSource:
    """Reads through one hub client."""

    def __init__(self, hub: HubClient, settings: Settings) -> None:
        self._hub = hub
        self._settings = settings

    async def head(self, project_id: int) -> str | None:
        """The commit of the default branch; None while nothing was pushed."""
        return (await self._hub.repository_head(project_id)).commit_id

    async def at(self, agent: AgentInfo, commit_id: str) -> NewConfiguration:
        """The configuration at a commit; empty when there is no file.

        Raises:
            UnusableConfigurationError: the file cannot be used; the text says why.
            HubError: it could not be read.
        """
        limit = self._settings.max_configuration_file_size
        path = f".gitlab/agents/{agent.agent_name}/config.yaml"
        try:
            text = await self._hub.repository_file(agent.project_id, commit_id, path, max_bytes=limit)
            read = reader.read(text, limit)
        except (FileTooLargeError, NotARegularFileError) as error:
            raise UnusableConfigurationError(f"agent configuration file: {error}", commit_id) from error
        except reader.UnreadableConfigurationError as error:
            problem = f"failed to parse agent configuration: {path}: {error}"
            raise UnusableConfigurationError(problem, commit_id) from error
        except reader.InvalidConfigurationError as error:
            problem = f"invalid agent configuration: {path}: {error}"
            raise UnusableConfigurationError(problem, commit_id) from error
        configuration = self._for_agent(agent, read.file)
        return NewConfiguration(commit_id=commit_id, configuration=configuration, document=read.document)

    async def tell(self, agent_id: int, document: Mapping[str, Any]) -> None:
        """Let the Git side know what the file says; it decides who may use the agent.

        Raises:
            HubError: it could not be told.
        """
        await self._hub.agent_configuration(agent_id, document)

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
