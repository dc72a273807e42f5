"""`/job` of GitLab's REST API, which a CI job asks with its own token, and `/projects/:id/job_tokens`.

GitLab's runners hand tokens out by themselves. Here any CI asks for one: with a token of a member who may run jobs on
the ref, and gives the job's token to the job. `DELETE` says that the job is over; the record stays for a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from kasbah.hub.accounts.rest import PublicUser
from kasbah.hub.agents.access import AccessService, AllowedAgent, JobAgents
from kasbah.hub.agents.ci_access import JobTerms
from kasbah.hub.agents.entities import BasisEntity
from kasbah.hub.clock import Clock
from kasbah.hub.errors import UnauthenticatedError
from kasbah.hub.groups.model import role_symbols
from kasbah.hub.groups.rest import full_name, reference
from kasbah.hub.groups.service import GroupService
from kasbah.hub.identity import User
from kasbah.hub.jobs.environment import Tier
from kasbah.hub.jobs.model import DEFAULT_LIFE_S, LONGEST_LIFE_S, CallingJob, Job, NewJob
from kasbah.hub.jobs.service import JobService
from kasbah.hub.projects.model import Project
from kasbah.hub.projects.rest import ConfigProject, config_project
from kasbah.hub.projects.service import ProjectService
from kasbah.hub.rest.access import JOB
from kasbah.hub.rest.call import Call, Site
from kasbah.hub.rest.pages import Page, Paginated, page_of
from kasbah.hub.rest.reply import Reply, timestamp, timestamp_or_null
from kasbah.hub.rest.router import NoParameters, Route

_PATH: Final = "/projects/:id/job_tokens"


class EnvironmentEntity(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    slug: str
    tier: str


class JobUserEntity(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    username: str


class ReachableAgent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent for the job's kubeconfig: the context is called `<project_path>:<name>`."""

    id: int
    name: str
    project_path: str
    default_namespace: str | None


class JobTokenEntity(msgspec.Struct, frozen=True, kw_only=True):
    """A job and the state of its token; `token` and `agents` only when it is made."""

    id: int
    project_id: int
    ref: str
    protected: bool
    pipeline_id: int
    environment: EnvironmentEntity | None
    user: JobUserEntity
    status: str
    created_at: str
    expires_at: str
    finished_at: str | None
    token: str | msgspec.UnsetType = msgspec.UNSET
    agents: Sequence[ReachableAgent] | msgspec.UnsetType = msgspec.UNSET


class _Id(msgspec.Struct, frozen=True):
    id: int


class _ProjectWithGroups(msgspec.Struct, frozen=True):
    id: int
    groups: list[_Id]


class _UserWithRoles(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    username: str
    roles_in_project: list[str]


class _TierAndSlug(msgspec.Struct, frozen=True, kw_only=True):
    tier: str
    slug: str


class AllowedAgentEntity(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    config_project: ConfigProject
    configuration: dict[str, Any]
    basis: BasisEntity | msgspec.UnsetType = msgspec.UNSET
    """Ours: the entry that lets the job in."""


class RefusedAgentEntity(msgspec.Struct, frozen=True, kw_only=True):
    """Ours: an agent that is shared with the project, and why this job may not use it."""

    id: int
    reason: str
    basis: BasisEntity | msgspec.UnsetType = msgspec.UNSET


class AllowedAgentsEntity(msgspec.Struct, frozen=True, kw_only=True):
    """Which agents a job may use, and what kas must know of the job to act for it."""

    allowed_agents: list[AllowedAgentEntity]
    job: _Id
    pipeline: _Id
    project: _ProjectWithGroups
    user: _UserWithRoles
    environment: _TierAndSlug | msgspec.UnsetType = msgspec.UNSET
    refused_agents: list[RefusedAgentEntity] | msgspec.UnsetType = msgspec.UNSET


class PipelineEntity(msgspec.Struct, frozen=True, kw_only=True):
    """The pipeline of a job, as far as it is known here."""

    id: int
    iid: int
    project_id: int
    sha: str | None = None
    ref: str
    status: str = "running"
    source: str = "external"
    created_at: str
    updated_at: str
    web_url: str


class _TokenScope(msgspec.Struct, frozen=True):
    ci_job_token_scope_enabled: bool = False


class JobEntity(msgspec.Struct, frozen=True, kw_only=True):
    """The job that asks, with GitLab's keys; what an outside CI keeps to itself is null."""

    id: int
    status: str = "running"
    stage: str = "external"
    name: str
    ref: str
    tag: bool
    coverage: float | None = None
    allow_failure: bool = False
    created_at: str
    started_at: str
    finished_at: str | None = None
    erased_at: str | None = None
    duration: float
    queued_duration: float = 0.0
    user: PublicUser
    commit: str | None = None
    pipeline: PipelineEntity
    web_url: str
    project: _TokenScope = _TokenScope()
    artifacts: tuple[str, ...] = ()
    runner: str | None = None
    runner_manager: str | None = None
    artifacts_expire_at: str | None = None
    archived: bool = False
    tag_list: tuple[str, ...] = ()


class ListJobTokens(Paginated, frozen=True, kw_only=True):
    id: str


class JobTokenAddress(msgspec.Struct, frozen=True):
    id: str
    job_id: int


class CreateJobToken(msgspec.Struct, frozen=True, kw_only=True):
    """What a CI says of its job. Whether the ref is protected is for the hub to know."""

    id: str
    ref: str
    environment: str | None = None
    tier: Tier | None = None
    pipeline_id: int | None = None
    user_id: int | None = None
    expires_in: int = DEFAULT_LIFE_S
    """In seconds."""


class JobsRest:
    """The routes about CI jobs."""

    def __init__(
        self,
        jobs: JobService,
        access: AccessService,
        projects: ProjectService,
        groups: GroupService,
        clock: Clock,
    ) -> None:
        self._jobs = jobs
        self._access = access
        self._projects = projects
        self._groups = groups
        self._clock = clock

    def routes(self) -> list[Route[Any]]:
        return [
            Route("GET", "/job", self.current, NoParameters, JOB),
            Route("GET", "/job/allowed_agents", self.allowed_agents, NoParameters, JOB),
            Route("GET", _PATH, self.list, ListJobTokens),
            Route("POST", _PATH, self.create, CreateJobToken),
            Route("GET", f"{_PATH}/:job_id", self.get, JobTokenAddress),
            Route("DELETE", f"{_PATH}/:job_id", self.finish, JobTokenAddress),
        ]

    async def current(self, call: Call, _: NoParameters) -> Reply:
        calling = await self._calling(call)
        return Reply(
            _job_entity(calling, call.site, (self._clock() - calling.job.created_at).total_seconds())
        )

    async def allowed_agents(self, call: Call, _: NoParameters) -> Reply:
        calling = await self._calling(call)
        found = await self._access.agents_of_job(_terms(calling))
        job = calling.job
        entity = AllowedAgentsEntity(
            allowed_agents=await self._allowed(found.allowed),
            job=_Id(job.id),
            pipeline=_Id(job.pipeline_id),
            project=_ProjectWithGroups(job.project_id, await self._groups_above(calling.project)),
            user=_UserWithRoles(
                id=calling.user.id,
                username=calling.user.username,
                roles_in_project=role_symbols(calling.level),
            ),
            environment=_TierAndSlug(tier=job.environment.tier, slug=job.environment.slug)
            if job.environment
            else msgspec.UNSET,
            refused_agents=_refused(found),
        )
        return Reply(entity)

    async def _calling(self, call: Call) -> CallingJob:
        if call.job_token is None:
            raise UnauthenticatedError
        return await self._jobs.authenticate(call.job_token)

    async def _allowed(self, agents: Sequence[AllowedAgent]) -> list[AllowedAgentEntity]:
        shown: dict[int, ConfigProject] = {}
        for project_id in {found.agent.project_id for found in agents}:
            project = await self._projects.find(project_id)
            if project is not None:  # deleted between two queries, and its agents with it
                ancestors = await self._groups.list_ancestors(await self._projects.namespace_of(project))
                shown[project_id] = config_project(project, f"{full_name(ancestors)} / {project.name}")
        return [
            AllowedAgentEntity(
                id=found.agent.id,
                config_project=shown[found.agent.project_id],
                configuration=found.configuration,
                basis=BasisEntity.of(found.basis),
            )
            for found in agents
            if found.agent.project_id in shown
        ]

    async def _groups_above(self, project: Project) -> list[_Id]:
        """The nearest first; a person's own namespace is no group."""
        ancestors = await self._groups.list_ancestors(await self._projects.namespace_of(project))
        return [_Id(namespace.id) for namespace in ancestors if namespace.kind == "group"]

    async def list(self, call: Call, parameters: ListJobTokens) -> Reply:
        project, page = await self._project(call, parameters.id), Page.of(parameters)
        jobs, total = await self._jobs.list(call.signed_in, project, limit=page.size, offset=page.offset)
        return page_of(call, page, [self._entity(job, user) for job, user in jobs], total)

    async def create(self, call: Call, parameters: CreateJobToken) -> Reply:
        project = await self._project(call, parameters.id)
        new = NewJob(
            ref=parameters.ref,
            environment=parameters.environment,
            tier=parameters.tier,
            pipeline_id=parameters.pipeline_id,
            lifetime=timedelta(seconds=max(0, min(parameters.expires_in, LONGEST_LIFE_S + 1))),
        )
        job, secret = await self._jobs.create(call.signed_in, project, new, parameters.user_id)
        calling = await self._jobs.authenticate(secret)
        found = await self._access.agents_of_job(_terms(calling))
        entity = msgspec.structs.replace(
            self._entity(job, calling.user),
            token=secret.reveal(),
            agents=[_reachable(agent) for agent in found.allowed],
        )
        return Reply(entity, 201)

    async def get(self, call: Call, parameters: JobTokenAddress) -> Reply:
        project = await self._project(call, parameters.id)
        return Reply(self._entity(*await self._jobs.get(call.signed_in, project, parameters.job_id)))

    async def finish(self, call: Call, parameters: JobTokenAddress) -> Reply:
        project = await self._project(call, parameters.id)
        await self._jobs.finish(call.signed_in, project, parameters.job_id)
        return Reply.empty()

    async def _project(self, call: Call, text: str) -> Project:
        return await self._projects.get(call.user, reference(text))

    def _entity(self, job: Job, user: User) -> JobTokenEntity:
        environment = job.environment
        return JobTokenEntity(
            id=job.id,
            project_id=job.project_id,
            ref=job.ref,
            protected=job.protected,
            pipeline_id=job.pipeline_id,
            environment=EnvironmentEntity(name=environment.name, slug=environment.slug, tier=environment.tier)
            if environment
            else None,
            user=JobUserEntity(id=user.id, username=user.username),
            status=job.state(self._clock()),
            created_at=timestamp(job.created_at),
            expires_at=timestamp(job.expires_at),
            finished_at=timestamp_or_null(job.finished_at),
        )


def _terms(calling: CallingJob) -> JobTerms:
    environment = calling.job.environment
    return JobTerms(
        project=calling.project,
        ref=calling.job.ref,
        protected=calling.protected,
        environment=environment.name if environment else None,
    )


def _reachable(found: AllowedAgent) -> ReachableAgent:
    namespace = found.configuration.get("default_namespace")
    return ReachableAgent(
        id=found.agent.id,
        name=found.agent.name,
        project_path=found.project_path,
        default_namespace=namespace if isinstance(namespace, str) and namespace else None,
    )


def _refused(found: JobAgents) -> list[RefusedAgentEntity] | msgspec.UnsetType:
    refused = [
        RefusedAgentEntity(id=one.agent.id, reason=one.reason, basis=BasisEntity.of(one.basis))
        for one in found.refused
    ]
    return refused or msgspec.UNSET


def _job_entity(calling: CallingJob, site: Site, duration: float) -> JobEntity:
    job, project = calling.job, calling.project
    external = f"{site.external_url.rstrip('/')}/{project.full_path}/-"
    created_at = timestamp(job.created_at)
    return JobEntity(
        id=job.id,
        name=f"job-{job.id}",
        ref=job.short_ref,
        tag=job.is_tag,
        created_at=created_at,
        started_at=created_at,
        duration=duration,
        user=PublicUser.of(calling.user, site),
        pipeline=PipelineEntity(
            id=job.pipeline_id,
            iid=job.pipeline_id,
            project_id=project.id,
            ref=job.short_ref,
            created_at=created_at,
            updated_at=created_at,
            web_url=f"{external}/pipelines/{job.pipeline_id}",
        ),
        web_url=f"{external}/jobs/{job.id}",
    )
