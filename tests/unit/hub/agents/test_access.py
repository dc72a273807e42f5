"""Who may use an agent, as whom, and who may not."""

from __future__ import annotations

from typing import Any

import pytest

from kasbah.hub.agents import store
from kasbah.hub.agents.model import Agent
from kasbah.hub.errors import ForbiddenError, RecordNotFoundError
from kasbah.hub.groups.model import Role
from kasbah.hub.identity import User
from tests.doubles.hub_services import HubServices

pytestmark = pytest.mark.asyncio

SHARED = {"projects": [{"id": "OWNER/fleet"}]}


async def shared_agent(hub: HubServices, user_access: Any) -> tuple[Agent, User]:
    owner, mia = await hub.user("owner"), await hub.user("mia")
    project = await hub.project(owner, "fleet")
    agent = await hub.agent(owner, project)
    await hub.join(project, mia, Role.DEVELOPER)
    configuration = {} if user_access is None else {"user_access": user_access}
    await hub.access.replace_configuration(agent.id, configuration)
    found = await hub.agents.find(agent.id)
    assert found is not None
    return found, mia


@pytest.mark.parametrize(
    ("access_as", "expected"), [({"agent": {}}, "agent"), ({"user": {}}, "user"), (None, "agent")]
)
async def test_a_developer_acts_as_the_configuration_says(hub: HubServices, access_as, expected):
    agent, mia = await shared_agent(hub, {"access_as": access_as, **SHARED})
    found = await hub.access.authorize(agent, mia)
    assert (found.access_as, found.user, found.agent) == (expected, mia, agent)
    assert [(role.entity, role.level) for role in found.roles] == [("project", Role.DEVELOPER)]


@pytest.mark.parametrize(
    ("user_access", "reason"),
    [
        (None, "keyword is not found"),
        ([], "keyword is not found"),
        ({"access_as": {}, **SHARED}, "must exist only once"),
        ({"access_as": {"agent": {}, "user": {}}, **SHARED}, "must exist only once"),
        ({"access_as": "agent", **SHARED}, "must exist only once"),
        ({"access_as": {"agent": {}}}, "must be a member"),
    ],
)
async def test_what_is_not_granted_is_refused_with_its_reason(hub: HubServices, user_access, reason):
    agent, mia = await shared_agent(hub, user_access)
    with pytest.raises(ForbiddenError, match=reason):
        await hub.access.authorize(agent, mia)


async def test_an_unknown_way_to_act_is_no_way(hub: HubServices):
    agent, mia = await shared_agent(hub, {"access_as": {"king": {}}, **SHARED})
    with pytest.raises(ForbiddenError):
        await hub.access.authorize(agent, mia)


async def test_administrators_are_no_members(hub: HubServices):
    agent, _ = await shared_agent(hub, SHARED)
    with pytest.raises(ForbiddenError, match="must be a member"):
        await hub.access.authorize(agent, await hub.user("root", is_admin=True))


async def test_a_role_taken_away_counts_at_once(hub: HubServices):
    agent, mia = await shared_agent(hub, SHARED)
    await hub.access.authorize(agent, mia)
    async with hub.database.writing() as connection:
        await connection.exec_driver_sql("DELETE FROM project_members")
    with pytest.raises(ForbiddenError):
        await hub.access.authorize(agent, mia)


async def test_an_absent_agent_is_not_found(hub: HubServices):
    with pytest.raises(RecordNotFoundError):
        await hub.access.authorize(None, await hub.user("mia"))
    with pytest.raises(RecordNotFoundError):
        await hub.access.replace_configuration(99, {})


@pytest.mark.parametrize(("anywhere", "rows"), [(False, 1), (True, 4)])
async def test_sharing_stops_at_the_top_level_unless_the_instance_allows_more(
    hub: HubServices, anywhere, rows
):
    free = HubServices(hub.database, share_anywhere=anywhere)
    owner = await hub.user("owner")
    agent = await hub.agent(owner, await hub.project(owner, "fleet"))
    elsewhere = await hub.group(owner, "elsewhere")
    await hub.project(owner, "shop", elsewhere)
    listed = [{"id": "owner/fleet"}, {"id": "elsewhere/shop"}, {"id": "Elsewhere/Shop"}, {"id": "no/where"}]
    ci_access = {"projects": listed, "groups": [{"id": "elsewhere"}, {"id": "owner"}], "instance": {}}
    await free.access.replace_configuration(agent.id, {"ci_access": ci_access})
    async with hub.database.reading() as connection:
        assert len(await store.list_authorizations(connection, agent.id)) == rows
