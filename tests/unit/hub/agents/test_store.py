"""Agents, tokens and authorisations, on either database."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.exc import IntegrityError

from kasbah.hub.agents import store
from kasbah.hub.agents.model import NewAgentToken
from kasbah.hub.agents.store import Authorization
from kasbah.hub.errors import RefusedError
from kasbah.hub.groups.model import Role
from tests.doubles.hub_services import START, HubServices

pytestmark = pytest.mark.asyncio
TODAY = START.date()
TOKEN = NewAgentToken(name="t", description=None)


async def test_an_agent_comes_back_as_it_went_in(stored: HubServices):
    mia = await stored.user("mia")
    agent = await stored.agent(mia, await stored.project(mia, "fleet"))
    async with stored.database.reading() as connection:
        assert await store.find(connection, agent.id) == agent
        assert await store.find(connection, 99) is None


async def test_a_name_is_taken_once_in_a_project(stored: HubServices):
    mia = await stored.user("mia")
    agent = await stored.agent(mia, await stored.project(mia, "fleet"))
    with pytest.raises(IntegrityError):
        async with stored.database.writing() as connection:
            await store.insert(connection, agent)


async def test_agents_are_listed_by_name(stored: HubServices):
    mia = await stored.user("mia")
    project = await stored.project(mia, "fleet")
    for name in ("c", "a", "b"):
        await stored.agent(mia, project, name)
    async with stored.database.reading() as connection:
        agents, total = await store.list_of_project(connection, project.id, limit=2, offset=0)
    assert ([agent.name for agent in agents], total) == (["a", "b"], 3)


async def test_deleting_an_agent_takes_tokens_and_authorisations_along(stored: HubServices):
    mia = await stored.user("mia")
    project = await stored.project(mia, "fleet")
    agent = await stored.agent(mia, project)
    async with stored.database.writing() as connection:
        await store.insert_token(connection, agent.id, TOKEN, "a" * 64, user_id=mia.id, now=START)
        row = Authorization(access="ci_access", project_id=project.id, config="{}")
        await store.replace_authorizations(connection, agent.id, None, [row])
        await store.delete(connection, agent.id)
        assert await store.find_active_token(connection, "a" * 64) is None
        assert await store.list_authorizations(connection, agent.id) == []


async def test_a_revoked_token_is_found_by_number_only(stored: HubServices):
    mia = await stored.user("mia")
    agent = await stored.agent(mia, await stored.project(mia, "fleet"))
    async with stored.database.writing() as connection:
        token = await store.insert_token(connection, agent.id, TOKEN, "a" * 64, user_id=mia.id, now=START)
        assert await store.find_active_token(connection, "a" * 64) == token
        await store.revoke_token(connection, token.id)
        assert await store.find_active_token(connection, "a" * 64) is None
        assert await store.list_active_tokens(connection, agent.id) == []
        found = await store.find_token(connection, agent.id, token.id)
    assert found is not None
    assert found.status == "revoked"


async def test_fifty_at_once_make_no_third_active_token(stored: HubServices):
    mia = await stored.user("mia")
    agent = await stored.agent(mia, await stored.project(mia, "fleet"))
    refused = 0

    async def create() -> None:
        nonlocal refused
        try:
            await stored.agent_tokens.create(mia, agent, TOKEN)
        except RefusedError:
            refused += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(50):
            tasks.create_task(create())
    async with stored.database.reading() as connection:
        assert await store.count_active_tokens(connection, agent.id) == 2
    assert refused == 48


async def test_authorisations_are_replaced_whole(stored: HubServices):
    mia = await stored.user("mia")
    one, two = await stored.project(mia, "one"), await stored.project(mia, "two")
    agent = await stored.agent(mia, one)
    before = Authorization(access="user_access", project_id=one.id, config="{}")
    after = Authorization(access="user_access", project_id=two.id, config='{"access_as":{}}')
    async with stored.database.writing() as connection:
        await store.replace_authorizations(connection, agent.id, "{}", [before])
        await store.replace_authorizations(connection, agent.id, None, [after])
        assert await store.list_authorizations(connection, agent.id) == [after]
        found = await store.lock(connection, agent.id)
    assert found is not None
    assert found.user_access is None


async def test_roles_come_from_shared_projects_and_groups_only(stored: HubServices):
    owner, mia = await stored.user("owner"), await stored.user("mia")
    group = await stored.group(owner, "ops")
    inner = await stored.group(owner, "inner", group)
    project = await stored.project(owner, "fleet", inner)
    other = await stored.project(owner, "other", group)
    agent = await stored.agent(owner, project)
    await stored.join(project, mia, Role.MAINTAINER)
    await stored.join(group, mia, Role.DEVELOPER)
    rows = [
        Authorization(access="user_access", project_id=project.id, config="{}"),
        Authorization(access="user_access", group_id=inner.id, config="{}"),
        Authorization(access="ci_access", project_id=other.id, config="{}"),
    ]
    async with stored.database.writing() as connection:
        await store.replace_authorizations(connection, agent.id, "{}", rows)
        roles = await store.list_user_access_roles(
            connection, agent_id=agent.id, user_id=mia.id, least_level=Role.DEVELOPER, today=TODAY
        )
    assert [(role.entity, role.id, role.level) for role in roles] == [
        ("project", project.id, Role.MAINTAINER),
        ("group", inner.id, Role.DEVELOPER),
    ]


async def test_a_role_below_the_least_opens_nothing(stored: HubServices):
    owner, mia = await stored.user("owner"), await stored.user("mia")
    project = await stored.project(owner, "fleet")
    agent = await stored.agent(owner, project)
    await stored.join(project, mia, Role.REPORTER)
    row = Authorization(access="user_access", project_id=project.id, config="{}")
    asked = {"agent_id": agent.id, "user_id": mia.id, "least_level": Role.DEVELOPER, "today": TODAY}
    async with stored.database.writing() as connection:
        await store.replace_authorizations(connection, agent.id, "{}", [row])
        assert await store.list_user_access_roles(connection, **asked) == []
        assert not await store.may_use_any_shared(connection, **asked)


async def test_any_share_counts_for_seeing_the_agent(stored: HubServices):
    owner, mia = await stored.user("owner"), await stored.user("mia")
    project = await stored.project(owner, "fleet")
    agent = await stored.agent(owner, project)
    await stored.join(project, mia, Role.DEVELOPER)
    row = Authorization(access="ci_access", project_id=project.id, config="{}")
    async with stored.database.writing() as connection:
        await store.replace_authorizations(connection, agent.id, None, [row])
        assert await store.may_use_any_shared(
            connection, agent_id=agent.id, user_id=mia.id, least_level=Role.DEVELOPER, today=TODAY
        )


async def test_the_last_use_is_written(stored: HubServices):
    mia = await stored.user("mia")
    agent = await stored.agent(mia, await stored.project(mia, "fleet"))
    async with stored.database.writing() as connection:
        token = await store.insert_token(connection, agent.id, TOKEN, "a" * 64, user_id=mia.id, now=START)
        await store.write_token_last_used(connection, token.id, START)
        found = await store.find_token(connection, agent.id, token.id)
    assert found is not None
    assert found.last_used_at == START
