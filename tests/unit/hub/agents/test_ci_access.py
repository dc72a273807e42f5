"""What an entry of `ci_access` says about one job."""

from __future__ import annotations

import pytest

from kasbah.hub.agents.ci_access import JobTerms, normal, refusal
from tests.doubles.git_accounts import make_project


def terms(environment: str | None = None, *, protected: bool = False) -> JobTerms:
    return JobTerms(
        project=make_project(40, "ops/shop"),
        ref="refs/heads/topic",
        protected=protected,
        environment=environment,
    )


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"access_as": None},
        {"access_as": {"agent": {}}},
        {"access_as": {"agent": None}},
        {"access_as": {"ci_job": {}}},
        {"access_as": {"impersonate": {"username": "x"}}},
        {"environments": []},
        {"environments": None},
        {"protected_branches_only": False},
        {"default_namespace": "shop", "annotations": {"a": "b"}},
    ],
)
def test_an_entry_without_conditions_lets_every_job_in(config):
    assert refusal(config, terms()) == ""


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"access_as": {}}, "`access_as` must name exactly one identity"),
        ({"access_as": "agent"}, "`access_as` must name exactly one identity"),
        ({"access_as": {"agent": {}, "ci_job": {}}}, "`access_as` must name exactly one identity"),
        ({"access_as": {"king": {}}}, "`access_as` must be one of agent, ci_job, impersonate"),
        ({"access_as": {"ci_user": {}}}, "`access_as` must be one of agent, ci_job, impersonate"),
        ({"access_as": {"agent": "x"}}, "`access_as` must be one of agent, ci_job, impersonate"),
        ({"access_as": {"impersonate": {}}}, "`access_as.impersonate` needs a username"),
        ({"access_as": {"impersonate": None}}, "`access_as.impersonate` needs a username"),
        ({"access_as": {"impersonate": {"username": 7}}}, "`access_as.impersonate` needs a username"),
        ({"environments": "prod"}, "`environments` must be a list of names and patterns"),
        ({"environments": ["prod", 7]}, "`environments` must be a list of names and patterns"),
    ],
)
def test_what_is_not_understood_lets_nobody_in(config, reason):
    assert refusal(config, terms("prod", protected=True)) == reason


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ("production", ""),
        ("review/x/y", ""),
        ("staging", "the job's environment staging matches none of production, review/*"),
        ("Production", "the job's environment Production matches none of production, review/*"),
        (None, "the job has no environment, and the agent is for production, review/* only"),
    ],
)
def test_environments_are_compared_by_name(environment, reason):
    assert refusal({"environments": ["production", "review/*"]}, terms(environment)) == reason


@pytest.mark.parametrize("only", [True, 1, "false", {}])
def test_an_agent_for_protected_branches_refuses_others(only):
    config = {"protected_branches_only": only}
    assert refusal(config, terms()).startswith("the job's ref refs/heads/topic is no protected branch")
    assert refusal(config, terms(protected=True)) == ""


def test_a_long_list_is_cut_short():
    reason = refusal({"environments": [f"e{number}" for number in range(500)]}, terms("x"))
    assert reason.endswith("e8, e9, …")


def test_terms_are_written_one_way():
    assert normal({"access_as": {"ci_job": None}, "a": 1}) == {"access_as": {"ci_job": {}}, "a": 1}
    assert normal({"access_as": None, "a": 1}) == {"a": 1}
