"""What the Git side answers, checked: ids are positive, names are not empty, nothing is half there."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

Id = Annotated[int, msgspec.Meta(gt=0)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
AgentName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")]
CommitId = Annotated[str, msgspec.Meta(pattern=r"\A(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")]


class AgentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The agent a token belongs to."""

    agent_id: Id
    project_id: Id
    """The project that holds the agent and its configuration."""
    agent_name: AgentName
    project_path: Text
    default_branch: Text


class ProjectInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A project whose repository an agent may read."""

    project_id: Id
    project_path: Text
    """As it is stored, however it was asked for."""
    default_branch: Text


class Basis(msgspec.Struct, frozen=True, kw_only=True):
    """The entry of the agent's configuration file that lets somebody in, as far as the Git side tells."""

    project_path: Text
    """The project that holds the file."""
    file: Text
    entry: Text
    """Such as `user_access.groups[0]`; `implicit` for the agent's own project."""
    line: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Where the entry begins; 0 when that is not known."""


class RolesAt(msgspec.Struct, frozen=True, kw_only=True):
    """The roles a person has in one project or group."""

    id: Id
    roles: tuple[Text, ...]


class AccessAsAgent(msgspec.Struct, frozen=True):
    """The person acts as the agent's own service account."""


class AccessAsUser(msgspec.Struct, frozen=True, kw_only=True):
    """The person is impersonated, with groups made of these roles; at least one of them."""

    projects: tuple[RolesAt, ...] = ()
    groups: tuple[RolesAt, ...] = ()


class ProxyUser(msgspec.Struct, frozen=True, kw_only=True):
    """A person who may use an agent, and as whom."""

    agent_id: Id
    config_project_id: Id
    user_id: Id
    username: Text
    access_as: AccessAsAgent | AccessAsUser
    basis: Basis | None = None


class AccessAsConfigured(msgspec.Struct, frozen=True, kw_only=True):
    """The job acts as whom the configuration names (`impersonate`)."""

    username: Text
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Keys with their values, in the file's order."""


class AccessAsJob(msgspec.Struct, frozen=True):
    """The job is impersonated as itself (`ci_job`)."""


class JobEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job deploys to."""

    slug: Text
    tier: Text


class ProxyJob(msgspec.Struct, frozen=True, kw_only=True):
    """A running CI job that may use an agent, and as whom."""

    agent_id: Id
    config_project_id: Id
    job_id: Id
    pipeline_id: Id
    project_id: Id
    group_ids: tuple[Id, ...]
    """The project's group and its ancestors, as the Git side orders them."""
    user_id: Id
    username: Text
    environment: JobEnvironment | None
    access_as: AccessAsAgent | AccessAsConfigured | AccessAsJob
    basis: Basis | None = None


class RepositoryHead(msgspec.Struct, frozen=True, kw_only=True):
    """Where a project's default branch stands."""

    default_branch: Text
    commit_id: CommitId | None
    """None while the repository has no such branch: nothing was pushed yet."""


class Ref(msgspec.Struct, frozen=True):
    """A place in a repository's history."""

    kind: Literal["branch", "tag", "commit"]
    name: str


class RepositoryFile(msgspec.Struct, frozen=True, kw_only=True):
    """Something of a commit that is no directory."""

    path: Annotated[str, msgspec.Meta(min_length=1)]
    mode: str
    """Git's, in octal."""
    size: Annotated[int, msgspec.Meta(ge=0)]

    @property
    def is_regular(self) -> bool:
        """Whether it has bytes of its own: neither a symbolic link nor a submodule."""
        return self.mode.startswith("100")


class UsageMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """What happened since the last report, by GitLab's counter names."""

    report_id: str
    """Ours: the same report, sent again, has the same id. GitLab ignores it."""
    counters: dict[str, int] = {}
    unique_counters: dict[str, list[int]] = {}


AS_AGENT: Final = AccessAsAgent()
AS_JOB: Final = AccessAsJob()
