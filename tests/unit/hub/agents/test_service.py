"""Agents: who makes them, who sees them."""

from __future__ import annotations

import pytest

from kasbah.hub.errors import ForbiddenError, InvalidError, NotFoundError, RecordNotFoundError
from kasbah.hub.groups.model import Role
from tests.doubles.hub_services import HubServices

pytestmark = pytest.mark.asyncio


async def test_an_agent_is_made_found_and_deleted(hub: HubServices):
    mia = await hub.user("mia")
    project = await hub.project(mia, "fleet")
    agent = await hub.agent(mia, project)
    assert await hub.agents.get(mia, project, agent.id) == agent == await hub.agents.find(agent.id)
    await hub.agents.delete(agent)
    assert await hub.agents.find(agent.id) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [("prod", "Name has already been taken"), ("Prod", "lowercase"), ("p" * 64, "too long")],
)
async def test_a_name_that_breaks_a_rule_is_refused(hub: HubServices, name, message):
    mia = await hub.user("mia")
    project = await hub.project(mia, "fleet")
    await hub.agent(mia, project)
    with pytest.raises(InvalidError, match=message):
        await hub.agent(mia, project, name)


async def test_one_name_in_two_projects_is_two_agents(hub: HubServices):
    mia = await hub.user("mia")
    one, two = await hub.project(mia, "one"), await hub.project(mia, "two")
    first, second = await hub.agent(mia, one), await hub.agent(mia, two)
    assert first.id != second.id
    with pytest.raises(RecordNotFoundError):
        await hub.agents.get(mia, one, second.id)


async def test_maintainers_make_agents_and_developers_see_them(hub: HubServices):
    owner, mia = await hub.user("owner"), await hub.user("mia")
    project = await hub.project(owner, "fleet")
    await hub.join(project, mia, Role.DEVELOPER)
    with pytest.raises(ForbiddenError):
        await hub.agent(mia, project)
    agent = await hub.agent(owner, project)
    assert await hub.agents.list(mia, project, limit=20, offset=0) == ([agent], 1)


async def test_below_developer_there_are_no_agents(hub: HubServices):
    owner, mia = await hub.user("owner"), await hub.user("mia")
    project = await hub.project(owner, "fleet")
    agent = await hub.agent(owner, project)
    await hub.join(project, mia, Role.REPORTER)
    with pytest.raises(NotFoundError, match="ClusterAgents"):
        await hub.agents.list(mia, project, limit=20, offset=0)
    with pytest.raises(RecordNotFoundError):
        await hub.agents.get(mia, project, agent.id)
