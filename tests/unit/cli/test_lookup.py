"""What a person types becomes an object, or an error that says what there is."""

from __future__ import annotations

import pytest

from kasbah.cli import lookup
from kasbah.cli.api_client import ApiClient
from kasbah.cli.errors import NotFoundError, UsageError
from kasbah.cli.hosts import Host
from kasbah.kit.secrets import Secret
from tests.doubles.fake_gitlab import TOKEN, URL, FakeGitlab


@pytest.fixture
def api():
    gitlab = FakeGitlab()
    gitlab.add_agent("prod")
    gitlab.add_agent("7")
    with ApiClient(Host(URL, Secret(TOKEN)), gitlab) as client:
        yield client


@pytest.mark.parametrize("reference", ["31", "ops/fleet", "/ops/fleet/"])
def test_a_project_is_found_by_path_and_id(api, reference):
    assert lookup.find_project(api, reference)["id"] == 31


@pytest.mark.parametrize(("reference", "name"), [("prod", "prod"), ("8", "7"), ("7", "prod")])
def test_an_agent_is_found_by_id_and_then_by_name(api, reference, name):
    assert lookup.find_agent(api, "ops/fleet", reference)["name"] == name


def test_an_unknown_agent_is_answered_with_those_there_are(api):
    with pytest.raises(NotFoundError, match=r"no agent 'stage' in ops/fleet \(there: 7, prod\)"):
        lookup.find_agent(api, "31", "stage")


@pytest.mark.parametrize(
    ("find", "text"),
    [
        (lookup.find_project, "kasbah project list"),
        (lookup.find_group, "kasbah group create nix"),
        (lookup.find_user, "kasbah user list"),
    ],
)
def test_what_does_not_exist_is_named_with_the_next_command(api, find, text):
    with pytest.raises(NotFoundError, match=text):
        find(api, "nix")


@pytest.mark.parametrize("reference", ["", "/", " "])
def test_an_empty_reference_is_wrong_usage(api, reference):
    with pytest.raises(UsageError, match="empty"):
        lookup.find_project(api, reference)


def test_paths_in_the_api_use_ids(api):
    agent = lookup.find_agent(api, "ops/fleet", "prod")

    assert lookup.agent_path(agent) == "/projects/31/cluster_agents/7"
