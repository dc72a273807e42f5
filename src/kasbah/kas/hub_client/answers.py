"""The documents the Git side answers, as they are on the wire, and the records made of them.

Unknown keys are ignored where GitLab may add some, and refused where a key decides who may do what.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec

from kasbah.kas.hub_client.errors import HubContractError
from kasbah.kas.hub_client.records import (
    AS_AGENT,
    AccessAsAgent,
    AccessAsUser,
    AgentInfo,
    AgentName,
    Basis,
    CommitId,
    Id,
    ProjectInfo,
    ProxyUser,
    RepositoryFile,
    RolesAt,
    Text,
)

T = TypeVar("T")
_MAX_SHOWN = 256
MAX_REASON: Final = 1024
"""A refusal may name several entries of the configuration."""
NOTHING: Final = msgspec.Raw(b"null")
"""Stands for what the Git side does not say."""


class _Repository(msgspec.Struct, frozen=True):
    gl_project_path: Text


class AgentInfoAnswer(msgspec.Struct, frozen=True, kw_only=True):
    project_id: Id
    agent_id: Id
    agent_name: AgentName
    default_branch: Text
    gitaly_repository: _Repository

    def record(self) -> AgentInfo:
        """The answer in our words."""
        return AgentInfo(
            agent_id=self.agent_id,
            project_id=self.project_id,
            agent_name=self.agent_name,
            project_path=self.gitaly_repository.gl_project_path,
            default_branch=self.default_branch,
        )


class ProjectInfoAnswer(msgspec.Struct, frozen=True, kw_only=True):
    project_id: Id
    default_branch: Text
    gitaly_repository: _Repository

    def record(self) -> ProjectInfo:
        """The answer in our words."""
        return ProjectInfo(
            project_id=self.project_id,
            project_path=self.gitaly_repository.gl_project_path,
            default_branch=self.default_branch,
        )


class RefAnswer(msgspec.Struct, frozen=True):
    commit_id: CommitId | None


class TreeAnswer(msgspec.Struct, frozen=True):
    files: tuple[RepositoryFile, ...]


class _HasId(msgspec.Struct, frozen=True):
    id: Id


class _Agent(msgspec.Struct, frozen=True):
    id: Id
    config_project: _HasId


class _User(msgspec.Struct, frozen=True):
    id: Id
    username: Text


class _AsAgent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _RolesAt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Id
    roles: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]


class _AsUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    projects: tuple[_RolesAt, ...] = ()
    groups: tuple[_RolesAt, ...] = ()


class _AccessAs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    agent: _AsAgent | None = None
    user: _AsUser | None = None

    def record(self) -> AccessAsAgent | AccessAsUser:
        match (self.agent, self.user):
            case (_AsAgent(), None):
                return AS_AGENT
            case (None, _AsUser(projects=projects, groups=groups)) if projects or groups:
                return AccessAsUser(projects=_roles(projects), groups=_roles(groups))
        raise HubContractError(
            "the Git side allows a user in neither or both of the known ways, so it does not"
        )


class ProxyUserAnswer(msgspec.Struct, frozen=True, kw_only=True):
    agent: _Agent
    user: _User
    access_as: _AccessAs
    basis: msgspec.Raw = NOTHING

    def record(self) -> ProxyUser:
        """The answer in our words.

        Raises:
            HubContractError: it does not say as whom the user acts, or says it twice.
        """
        return ProxyUser(
            agent_id=self.agent.id,
            config_project_id=self.agent.config_project.id,
            user_id=self.user.id,
            username=self.user.username,
            access_as=self.access_as.record(),
            basis=basis_of(self.basis),
        )


class _Message(msgspec.Struct, frozen=True):
    message: str = ""


class _Reason(msgspec.Struct, frozen=True):
    reason: str = ""


def decode(body: bytes, answer_type: type[T], what: str) -> T:
    """The document as its type; ids may be numbers or strings, as protobuf JSON writes them.

    Raises:
        HubContractError: it is not such a document.
    """
    try:
        return msgspec.json.decode(body, type=answer_type, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HubContractError(f"the Git side's answer to {what} cannot be used: {error}") from error


def message_of(body: bytes) -> str:
    """The `message` of an error document, fit to be shown; empty when there is none."""
    try:
        return shown(msgspec.json.decode(body, type=_Message).message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def reason_of(body: bytes) -> str:
    """The `reason` of a refusal, ours alone and fit to be shown; empty when there is none."""
    try:
        return shown(msgspec.json.decode(body, type=_Reason).reason, MAX_REASON)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def basis_of(raw: msgspec.Raw) -> Basis | None:
    """What lets somebody in, for people to read; it decides nothing, so what is no basis is none."""
    try:
        return msgspec.json.decode(raw, type=Basis | None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def shown(text: str, most: int = _MAX_SHOWN) -> str:
    """As much of the Git side's words as fits a line."""
    return "".join(character for character in text[:most] if character.isprintable())


def _roles(answers: tuple[_RolesAt, ...]) -> tuple[RolesAt, ...]:
    return tuple(RolesAt(id=answer.id, roles=answer.roles) for answer in answers)
