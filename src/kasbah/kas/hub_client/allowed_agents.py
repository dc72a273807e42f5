"""GitLab's document about a running CI job: who it is, and which agents it may use.

Kept strict where it decides who acts as whom, and only for the agent that is asked about: what the Git side says of
another one cannot keep a job from its own.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from kasbah.kas.hub_client import answers
from kasbah.kas.hub_client.errors import AgentNotAllowedError, HubContractError
from kasbah.kas.hub_client.records import (
    AS_AGENT,
    AS_JOB,
    AccessAsAgent,
    AccessAsConfigured,
    AccessAsJob,
    Id,
    JobEnvironment,
    ProxyJob,
    Text,
)

PATH: Final = "/api/v4/job/allowed_agents"
_WHAT: Final = "allowed_agents"


class _HasId(msgspec.Struct, frozen=True):
    id: Id


class _Empty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _Extra(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: Text
    val: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class _Impersonate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    username: Text
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[_Extra, ...] = ()

    def record(self) -> AccessAsConfigured:
        return AccessAsConfigured(
            username=self.username,
            groups=self.groups,
            uid=self.uid,
            extra=tuple((pair.key, pair.val) for pair in self.extra),
        )


class _AccessAs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    agent: _Empty | None = None
    impersonate: _Impersonate | None = None
    ci_job: _Empty | None = None

    def record(self) -> AccessAsAgent | AccessAsConfigured | AccessAsJob:
        match (self.agent, self.impersonate, self.ci_job):
            case (_Empty(), None, None):
                return AS_AGENT
            case (None, _Impersonate() as named, None):
                return named.record()
            case (None, None, _Empty()):
                return AS_JOB
        raise HubContractError(
            "the Git side allows a job in none or several of the known ways, so it does not"
        )


class _Configuration(msgspec.Struct, frozen=True):
    access_as: _AccessAs | None = None


class _Agent(msgspec.Struct, frozen=True, kw_only=True):
    id: Id
    config_project: _HasId
    configuration: msgspec.Raw
    basis: msgspec.Raw = answers.NOTHING


class _Refused(msgspec.Struct, frozen=True):
    id: Id
    reason: str = ""


class _Project(msgspec.Struct, frozen=True):
    id: Id
    groups: tuple[_HasId, ...] = ()


class _User(msgspec.Struct, frozen=True):
    id: Id
    username: Text


class AllowedAgentsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    job: _HasId
    pipeline: _HasId
    project: _Project
    user: _User
    environment: JobEnvironment | None = None
    allowed_agents: tuple[_Agent, ...] = ()
    refused_agents: tuple[_Refused, ...] = ()

    def record(self, agent_id: int) -> ProxyJob:
        """What the answer says of this agent.

        Raises:
            AgentNotAllowedError: the job may not use it.
            HubContractError: the answer does not say as whom the job acts, or says it twice.
        """
        agent = next((agent for agent in self.allowed_agents if agent.id == agent_id), None)
        if agent is None:
            raise self._refusal(agent_id)
        configuration = answers.decode(bytes(agent.configuration), _Configuration, _WHAT)
        return ProxyJob(
            agent_id=agent.id,
            config_project_id=agent.config_project.id,
            job_id=self.job.id,
            pipeline_id=self.pipeline.id,
            project_id=self.project.id,
            group_ids=tuple(group.id for group in self.project.groups),
            user_id=self.user.id,
            username=self.user.username,
            environment=self.environment,
            access_as=AS_AGENT if configuration.access_as is None else configuration.access_as.record(),
            basis=answers.basis_of(agent.basis),
        )

    def _refusal(self, agent_id: int) -> AgentNotAllowedError:
        error = AgentNotAllowedError(f"job {self.job.id} may not use agent {agent_id}")
        reasons = [refused.reason for refused in self.refused_agents if refused.id == agent_id]
        error.reason = answers.shown(reasons[0], answers.MAX_REASON) if reasons else ""
        return error


def read(body: bytes, agent_id: int) -> ProxyJob:
    """What the document says of this agent.

    Raises:
        AgentNotAllowedError: the job may not use it.
        HubContractError: it is no such document.
    """
    return answers.decode(body, AllowedAgentsAnswer, _WHAT).record(agent_id)
