"""Who may use an agent, as whom, and who may not."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy

from kasbah.hub.agents import store
from kasbah.hub.agents.ci_access import JobTerms
from kasbah.hub.agents.model import Agent, Basis
from kasbah.hub.errors import ForbiddenError, RecordNotFoundError
from kasbah.hub.groups.model import Role
from kasbah.hub.identity import User
from kasbah.hub.projects.model import Project
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


def terms(project: Project, environment: str | None = None) -> JobTerms:
    return JobTerms(project=project, ref="refs/heads/x", protected=False, environment=environment)


async def test_jobs_hear_which_entry_lets_them_in_or_keeps_them_out(hub: HubServices):
    owner = await hub.user("owner")
    group = await hub.group(owner, "ops")
    fleet, shop = await hub.project(owner, "fleet", group), await hub.project(owner, "shop", group)
    agent = await hub.agent(owner, fleet)
    entry = {
        "id": "OPS/shop",
        "environments": ["prod"],
        "default_namespace": "shop",
        "access_as": {"ci_job": None},
    }
    await hub.access.replace_configuration(
        agent.id,
        {"ci_access": {"projects": [{"id": "no/where"}, entry], "groups": [{"id": "ops"}]}},
        lines={"ci_access.projects[1]": 3},
        commit_id="c" * 40,
    )
    found = await hub.access.agents_of_job(terms(shop, "prod"))
    assert found.refused == ()
    assert [(one.agent.id, one.project_path) for one in found.allowed] == [(agent.id, "ops/fleet")]
    configuration = {name: value for name, value in entry.items() if name != "id"}
    assert found.allowed[0].configuration == {**configuration, "access_as": {"ci_job": {}}}
    assert found.allowed[0].basis == Basis(
        project_path="ops/fleet",
        file=".gitlab/agents/prod/config.yaml",
        entry="ci_access.projects[1]",
        line=3,
    )
    # The nearest entry decides, also when a farther one would let the job in.
    refused = await hub.access.agents_of_job(terms(shop, "staging"))
    assert refused.allowed == ()
    where = "ci_access.projects[1] in line 3 of .gitlab/agents/prod/config.yaml of ops/fleet"
    [one] = refused.refused
    assert one.reason == f"the job's environment staging matches none of prod ({where})"


async def test_a_project_uses_its_own_agents_as_they_are(hub: HubServices):
    owner = await hub.user("owner")
    project = await hub.project(owner, "fleet")
    await hub.agent(owner, project)
    found = (await hub.access.agents_of_job(terms(project))).allowed[0]
    assert (found.configuration, found.basis and found.basis.entry) == ({}, "implicit")


async def test_the_version_of_the_file_is_kept_with_each_entry(hub: HubServices):
    owner = await hub.user("owner")
    agent = await hub.agent(owner, await hub.project(owner, "fleet"))
    await hub.access.replace_configuration(agent.id, {"user_access": SHARED}, commit_id="c" * 40)
    async with hub.database.reading() as connection:
        rows = await store.list_authorizations(connection, agent.id)
    assert [(row.entry, row.line, row.commit_id) for row in rows] == [
        ("user_access.projects[0]", None, "c" * 40)
    ]


async def test_strangers_cost_the_same_whether_there_is_an_agent_or_not(hub: HubServices):
    owner, eve = await hub.user("owner"), await hub.user("eve")
    hidden = await hub.agent(owner, await hub.project(owner, "fleet"), "hidden")
    shared = await hub.agent(owner, await hub.project(owner, "shop"), "shared")
    await hub.access.replace_configuration(shared.id, {"user_access": SHARED})
    asked: list[list[str]] = [[]]

    def note(*arguments: Any) -> None:
        asked[-1].append(arguments[2])

    async with hub.database.reading() as connection:
        engine = connection.sync_engine
    sqlalchemy.event.listen(engine, "before_cursor_execute", note)
    for agent_id in (hidden.id, shared.id, 99):
        asked.append([])
        agent = await hub.agents.find(agent_id)
        standing = await hub.access.standing(agent, eve)
        assert not standing.may_know
    sqlalchemy.event.remove(engine, "before_cursor_execute", note)
    assert len(asked[1]) > 1
    assert asked[1] == asked[2] == asked[3]
