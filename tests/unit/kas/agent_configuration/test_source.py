"""What of the file goes where."""

from __future__ import annotations

import pytest

from kasbah.kas.agent_configuration.settings import Settings
from kasbah.kas.agent_configuration.source import ConfigurationSource, UnusableConfigurationError
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.errors import HubUnavailableError
from kasbah.kas.hub_client.records import AgentInfo
from tests.doubles.fake_hub import COMMIT, SECRET, FakeHub, json_answer

AGENT = AgentInfo(agent_id=7, project_id=31, agent_name="a", project_path="ops/fleet", default_branch="main")


@pytest.mark.asyncio
async def test_who_may_use_the_agent_stays_on_the_git_side():
    hub = FakeHub(files={".gitlab/agents/a/config.yaml": b"user_access: {}\nci_access: {}\n"})
    source = ConfigurationSource(HubClient(hub.client(), SECRET), Settings())
    new = await source.at(AGENT, COMMIT, since=0)
    assert new.document == {"user_access": {}, "ci_access": {}}
    assert [known.name for known, _ in new.configuration.ListFields()] == [
        "agent_id",
        "project_id",
        "ci_access",
        "project_path",
    ]


@pytest.mark.asyncio
async def test_a_commit_that_is_gone_is_no_empty_configuration():
    source = ConfigurationSource(HubClient(FakeHub().client(), SECRET), Settings())
    with pytest.raises(HubUnavailableError, match="is gone"):
        await source.at(AGENT, "b" * 40, since=0)


@pytest.mark.asyncio
async def test_a_symbolic_link_is_no_configuration():
    hub = FakeHub()
    hub.answer_with("repository_file", json_answer(422, {}))
    source = ConfigurationSource(HubClient(hub.client(), SECRET), Settings())
    with pytest.raises(UnusableConfigurationError, match="is not a regular file") as caught:
        await source.at(AGENT, COMMIT, since=0)
    assert caught.value.commit_id == COMMIT
