"""Names of agents, and what a configuration file grants."""

from __future__ import annotations

import pytest

from kasbah.hub.agents.model import (
    MOST_ENTITIES,
    Grant,
    NewAgentToken,
    basis_of,
    name_problems,
    read_grants,
)
from tests.doubles.agent_records import make_agent

RULE = "Name can contain only lowercase letters, digits, and '-', but cannot start or end with '-'"


@pytest.mark.parametrize("name", ["a", "prod-eu", "0", "a--b", "a" * 63])
def test_a_good_name_has_no_problems(name):
    assert name_problems(name) == []


@pytest.mark.parametrize("name", ["A", "a_b", "-a", "a-", "..", "a.b", "a/b", "é", "a\n", "a b"])
def test_a_name_kubernetes_would_refuse_is_refused(name):
    assert name_problems(name) == [RULE]


def test_length_and_emptiness_have_their_own_words():
    assert name_problems("a" * 64) == ["Name is too long (maximum is 63 characters)"]
    assert name_problems("") == ["Name can't be blank", RULE]


def test_a_token_has_a_name_and_short_texts():
    assert NewAgentToken(name="t", description=None).problems() == []
    assert NewAgentToken(name="", description="d" * 1025).problems() == [
        "Name can't be blank",
        "Description is too long (maximum is 1024 characters)",
    ]


def test_entries_keep_their_terms_and_lose_their_id():
    entry = {"id": "Ops/Fleet", "default_namespace": "shop"}
    grants = read_grants(
        {"ci_access": {"projects": [entry], "groups": [{"id": "ops"}], "instance": {"a": 1}}}
    )
    assert grants.entries == (
        Grant(
            access="ci_access",
            entity="project",
            path="ops/fleet",
            entry="ci_access.projects[0]",
            config={"default_namespace": "shop"},
        ),
        Grant(access="ci_access", entity="group", path="ops", entry="ci_access.groups[0]", config={}),
        Grant(access="ci_access", entity="instance", path="", entry="ci_access.instance", config={"a": 1}),
    )
    assert grants.user_access is None


def test_what_stands_beside_the_lists_holds_for_each_entry():
    access_as = {"agent": {}}
    grants = read_grants({"user_access": {"access_as": access_as, "groups": [{"id": "ops"}]}})
    config = {"access_as": access_as}
    assert grants.entries == (
        Grant(access="user_access", entity="group", path="ops", entry="user_access.groups[0]", config=config),
    )
    assert grants.user_access == config


def test_the_first_500_of_each_list_count():
    listed = [{"id": f"a/{number}"} for number in range(MOST_ENTITIES + 1)]
    grants = read_grants({"ci_access": {"projects": listed, "groups": listed}})
    assert len(grants.entries) == 2 * MOST_ENTITIES


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"ci_access": None},
        {"ci_access": []},
        {"user_access": "x"},
        {"ci_access": {"projects": {"id": "a/b"}, "groups": [7, {}, {"id": 7}, {"id": ""}], "instance": []}},
    ],
)
def test_what_makes_no_sense_grants_nothing(configuration):
    assert read_grants(configuration).entries == ()


def test_entries_are_named_by_where_they_stand():
    listed = [{"id": "a/b"}, "no entry", {"id": "a/c"}]
    grants = read_grants({"ci_access": {"projects": listed}})
    assert [grant.entry for grant in grants.entries] == ["ci_access.projects[0]", "ci_access.projects[2]"]


def test_a_basis_says_where_to_look():
    agent = make_agent()
    basis = basis_of(agent, "ops/fleet", "ci_access.groups[0]", 9)
    assert str(basis) == "ci_access.groups[0] in line 9 of .gitlab/agents/prod/config.yaml of ops/fleet"
    unknown = basis_of(agent, "ops/fleet", "implicit", None)
    assert str(unknown) == "implicit in .gitlab/agents/prod/config.yaml of ops/fleet"
    assert basis_of(agent, "ops/fleet", None, None) is None
