from __future__ import annotations

import pytest

from kasbah.kas.hub_client.records import (
    AS_JOB,
    AccessAsConfigured,
    AccessAsUser,
    JobEnvironment,
    RolesAt,
)
from kasbah.kas.kubernetes_api.impersonation import identity_of_job, identity_of_person
from kasbah.wire.identity import AsAgent, AsUser, InvalidIdentityError, impersonation_headers
from tests.doubles.people import MIA_AS_USER, job_of_mia, mia

PRODUCTION = JobEnvironment(slug="prod-slug", tier="production")


def test_access_as_agent_impersonates_nobody():
    assert identity_of_person(mia(), "personal_access_token") == AsAgent()
    assert identity_of_job(job_of_mia()) == AsAgent()


@pytest.mark.parametrize("access_type", ["personal_access_token", "session_cookie"])
def test_access_as_user_is_gitlabs_byte_for_byte(access_type):
    assert identity_of_person(mia(MIA_AS_USER), access_type) == AsUser(
        username="gitlab:user:mia",
        groups=(
            "gitlab:user",
            "gitlab:project_role:40:guest",
            "gitlab:project_role:40:reporter",
            "gitlab:project_role:40:developer",
            "gitlab:group_role:5:maintainer",
        ),
        extra=(
            ("agent.gitlab.com/id", ("7",)),
            ("agent.gitlab.com/username", ("mia",)),
            ("agent.gitlab.com/access_type", (access_type,)),
            ("agent.gitlab.com/config_project_id", ("31",)),
        ),
    )


def test_a_job_without_an_environment_is_gitlabs_byte_for_byte():
    assert identity_of_job(job_of_mia(AS_JOB)) == AsUser(
        username="gitlab:ci_job:9001",
        groups=("gitlab:ci_job", "gitlab:group:5", "gitlab:group:2", "gitlab:project:40"),
        extra=(
            ("agent.gitlab.com/id", ("7",)),
            ("agent.gitlab.com/config_project_id", ("31",)),
            ("agent.gitlab.com/project_id", ("40",)),
            ("agent.gitlab.com/ci_pipeline_id", ("800",)),
            ("agent.gitlab.com/ci_job_id", ("9001",)),
            ("agent.gitlab.com/username", ("mia",)),
        ),
    )


def test_a_job_with_an_environment_has_its_slug_and_tier_behind_what_they_belong_to():
    identity = identity_of_job(job_of_mia(AS_JOB, PRODUCTION))
    assert isinstance(identity, AsUser)
    assert identity.groups == (
        "gitlab:ci_job",
        "gitlab:group:5",
        "gitlab:group_env_tier:5:production",
        "gitlab:group:2",
        "gitlab:group_env_tier:2:production",
        "gitlab:project:40",
        "gitlab:project_env:40:prod-slug",
        "gitlab:project_env_tier:40:production",
    )
    assert identity.extra[-2:] == (
        ("agent.gitlab.com/environment_slug", ("prod-slug",)),
        ("agent.gitlab.com/environment_tier", ("production",)),
    )


def test_a_job_is_whom_the_configuration_names():
    named = AccessAsConfigured(
        username="deployer", groups=("ops", "b"), uid="u-1", extra=(("example.com/team", ("a", "b")),)
    )
    assert impersonation_headers(identity_of_job(job_of_mia(named, PRODUCTION))) == (
        (b"Impersonate-User", b"deployer"),
        (b"Impersonate-Group", b"ops"),
        (b"Impersonate-Group", b"b"),
        (b"Impersonate-Uid", b"u-1"),
        (b"Impersonate-Extra-example.com%2Fteam", b"a"),
        (b"Impersonate-Extra-example.com%2Fteam", b"b"),
    )


def test_a_name_that_cannot_be_a_header_is_nobody():
    odd = AccessAsUser(projects=(RolesAt(id=1, roles=("a\r\nImpersonate-User: root",)),))
    with pytest.raises(InvalidIdentityError):
        identity_of_person(mia(odd), "personal_access_token")
    with pytest.raises(InvalidIdentityError):
        identity_of_job(job_of_mia(AccessAsConfigured(username="a\nb")))
