"""As whom a person or a CI job acts in the cluster: GitLab's strings, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kasbah.kas.hub_client.records import (
    AccessAsAgent,
    AccessAsConfigured,
    AccessAsJob,
    ProxyJob,
    ProxyUser,
    RolesAt,
)
from kasbah.kas.kubernetes_api.access import PersonAccessType
from kasbah.wire.identity import AsAgent, AsUser, Identity

_EXTRA_PREFIX = "agent.gitlab.com/"


def identity_of_person(user: ProxyUser, access_type: PersonAccessType) -> Identity:
    """The identity of a person who showed a credential of that kind.

    Raises:
        InvalidIdentityError: a name of theirs cannot be put into a header.
    """
    if isinstance(user.access_as, AccessAsAgent):
        return AsAgent()
    groups = ["gitlab:user"]
    groups += _role_groups("gitlab:project_role", user.access_as.projects)
    groups += _role_groups("gitlab:group_role", user.access_as.groups)
    extra = {
        "id": str(user.agent_id),
        "username": user.username,
        "access_type": access_type,
        "config_project_id": str(user.config_project_id),
    }
    return AsUser(username=f"gitlab:user:{user.username}", groups=tuple(groups), extra=_prefixed(extra))


def identity_of_job(job: ProxyJob) -> Identity:
    """The identity of a CI job.

    Raises:
        InvalidIdentityError: a name of the job or of the configuration cannot be put into a header.
    """
    match job.access_as:
        case AccessAsAgent():
            return AsAgent()
        case AccessAsConfigured(username=username, groups=groups, uid=uid, extra=extra):
            return AsUser(username=username, groups=groups, uid=uid, extra=extra)
        case AccessAsJob():
            return AsUser(
                username=f"gitlab:ci_job:{job.job_id}",
                groups=tuple(_job_groups(job)),
                extra=_prefixed(_job_extra(job)),
            )


def _job_groups(job: ProxyJob) -> Iterable[str]:
    """From the job itself outwards to its groups and to its project, each with the environment where there is one."""
    environment = job.environment
    yield "gitlab:ci_job"
    for group_id in job.group_ids:
        yield f"gitlab:group:{group_id}"
        if environment is not None:
            yield f"gitlab:group_env_tier:{group_id}:{environment.tier}"
    yield f"gitlab:project:{job.project_id}"
    if environment is not None:
        yield f"gitlab:project_env:{job.project_id}:{environment.slug}"
        yield f"gitlab:project_env_tier:{job.project_id}:{environment.tier}"


def _job_extra(job: ProxyJob) -> Mapping[str, str]:
    extra = {
        "id": str(job.agent_id),
        "config_project_id": str(job.config_project_id),
        "project_id": str(job.project_id),
        "ci_pipeline_id": str(job.pipeline_id),
        "ci_job_id": str(job.job_id),
        "username": job.username,
    }
    if job.environment is not None:
        extra |= {"environment_slug": job.environment.slug, "environment_tier": job.environment.tier}
    return extra


def _prefixed(extra: Mapping[str, str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((_EXTRA_PREFIX + key, (value,)) for key, value in extra.items())


def _role_groups(prefix: str, places: tuple[RolesAt, ...]) -> list[str]:
    return [f"{prefix}:{place.id}:{role}" for place in places for role in place.roles]
