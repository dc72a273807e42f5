"""What is believed of the document about a CI job."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kasbah.kas.hub_client import allowed_agents
from kasbah.kas.hub_client.errors import AgentNotAllowedError, HubContractError
from kasbah.kas.hub_client.records import (
    AS_AGENT,
    AS_JOB,
    AccessAsConfigured,
    Basis,
    JobEnvironment,
    ProxyJob,
)
from tests.doubles import fake_hub


def read(document: Any, agent_id: int = 7) -> ProxyJob:
    return allowed_agents.read(msgspec.json.encode(document), agent_id)


def agent(configuration: Any, **more: Any) -> dict[str, Any]:
    """The document with one agent, configured so."""
    entry = {"id": 7, "config_project": {"id": 31}, "configuration": configuration} | more
    return fake_hub.allowed_agents(allowed_agents=[entry])


def test_gitlabs_document_is_a_job():
    assert read(fake_hub.allowed_agents()) == ProxyJob(
        agent_id=7,
        config_project_id=31,
        job_id=9001,
        pipeline_id=800,
        project_id=40,
        group_ids=(5, 2),
        user_id=4,
        username="mia",
        environment=JobEnvironment(slug="production", tier="production"),
        access_as=AS_JOB,
    )


def test_a_job_may_have_no_environment_and_its_project_no_group():
    job = read(fake_hub.allowed_agents(environment=None, project={"id": "40"}))
    assert (job.environment, job.project_id, job.group_ids) == (None, 40, ())


@pytest.mark.parametrize("configuration", [{}, {"access_as": None}, {"access_as": {"agent": {}}}])
def test_without_a_word_the_job_acts_as_the_agent(configuration: Any):
    assert read(agent(configuration)).access_as == AS_AGENT


def test_a_job_may_act_as_whom_the_configuration_names():
    named = {"username": "u", "groups": ["a"], "uid": "1", "extra": [{"key": "k", "val": ["v", "w"]}]}
    assert read(agent({"access_as": {"impersonate": named}})).access_as == AccessAsConfigured(
        username="u", groups=("a",), uid="1", extra=(("k", ("v", "w")),)
    )


def test_the_basis_comes_along():
    basis = {"project_path": "ops/fleet", "file": "f", "entry": "implicit"}
    assert read(agent({}, basis=basis)).basis == Basis(project_path="ops/fleet", file="f", entry="implicit")


@pytest.mark.parametrize(
    "configuration",
    [
        None,
        [],
        {"access_as": {}},
        {"access_as": {"ci_user": {}}},
        {"access_as": {"agent": {}, "ci_job": {}}},
        {"access_as": {"ci_job": {"really": True}}},
        {"access_as": {"impersonate": {}}},
        {"access_as": {"impersonate": {"username": ""}}},
        {"access_as": {"impersonate": {"username": "u", "roles": ["a"]}}},
        {"access_as": {"impersonate": {"username": "u", "extra": [{"key": "", "val": ["v"]}]}}},
        {"access_as": {"impersonate": {"username": "u", "extra": [{"key": "k", "val": []}]}}},
    ],
)
def test_a_configuration_that_is_not_clear_allows_nothing_and_harms_no_other_agent(configuration: Any):
    document = agent(configuration)
    document["allowed_agents"].append({"id": 8, "config_project": {"id": 31}, "configuration": {}})
    with pytest.raises(HubContractError):
        read(document)
    assert read(document, 8).access_as == AS_AGENT


@pytest.mark.parametrize("missing", ["job", "pipeline", "project", "user"])
def test_a_document_that_is_not_whole_allows_nothing(missing: str):
    document = fake_hub.allowed_agents()
    del document[missing]
    with pytest.raises(HubContractError):
        read(document)


@pytest.mark.parametrize(
    "change",
    [
        {"job": {"id": 0}},
        {"user": {"id": 4, "username": ""}},
        {"environment": {"slug": "production"}},
        {"environment": {"slug": "", "tier": "production"}},
        {"allowed_agents": [{"id": 7, "config_project": {"id": 31}}]},
        {"allowed_agents": {}},
    ],
)
def test_a_document_with_holes_allows_nothing(change: dict[str, Any]):
    with pytest.raises(HubContractError):
        read(fake_hub.allowed_agents(**change))


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        ([], ""),
        ([{"id": 8, "reason": "the branch is not protected"}], "the branch is not protected"),
        ([{"id": 9, "reason": "another agent's business"}], ""),
        ([{"id": 8, "reason": "a\r\nb"}], "ab"),
    ],
)
def test_an_agent_that_is_not_listed_is_not_allowed_and_the_reason_is_its_own(refused: Any, reason: str):
    with pytest.raises(AgentNotAllowedError) as caught:
        read(fake_hub.allowed_agents(refused_agents=refused), 8)
    assert caught.value.reason == reason
