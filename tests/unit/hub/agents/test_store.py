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
from kasbah.hub.projects.model import Project
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
        Authorization(
            access="user_access",
            project_id=project.id,
            config="{}",
            entry="user_access.projects[0]",
            line=3,
            commit_id="c",
        ),
        Authorization(access="user_access", group_id=inner.id, config="{}"),
        Authorization(access="ci_access", project_id=other.id, config="{}"),
    ]
    async with stored.database.writing() as connection:
        await store.replace_authorizations(connection, agent.id, "{}", rows)
        roles = await store.list_user_access_roles(
            connection, agent_id=agent.id, user_id=mia.id, today=TODAY, share_anywhere=False
        )
    assert [(role.path, role.entry, role.line) for role in roles] == [
        ("ops/inner/fleet", "user_access.projects[0]", 3),
        ("ops/inner", None, None),
    ]
    assert [(role.entity, role.id, role.level) for role in roles] == [
        ("project", project.id, Role.MAINTAINER),
        ("group", inner.id, Role.DEVELOPER),
    ]


@pytest.mark.parametrize(
    ("anywhere", "entries"), [(False, ["inside"]), (True, ["inside", "outside", "group"])]
)
async def test_what_people_share_outside_counts_only_where_the_instance_allows_it(
    stored: HubServices, anywhere, entries
):
    owner = await stored.user("owner")
    other = await stored.group(owner, "other")
    home, away = await stored.project(owner, "home"), await stored.project(owner, "away", other)
    agent = await stored.agent(owner, home)
    rows = [
        Authorization(access="user_access", project_id=home.id, config="{}", entry="inside"),
        Authorization(access="user_access", project_id=away.id, config="{}", entry="outside"),
        Authorization(access="user_access", group_id=other.id, config="{}", entry="group"),
    ]
    async with stored.database.writing() as connection:
        await store.replace_authorizations(connection, agent.id, "{}", rows)
        roles = await store.list_user_access_roles(
            connection, agent_id=agent.id, user_id=owner.id, today=TODAY, share_anywhere=anywhere
        )
    assert [role.entry for role in roles] == entries


async def test_a_role_below_the_least_opens_nothing(stored: HubServices):
    owner, mia = await stored.user("owner"), await stored.user("mia")
    project = await stored.project(owner, "fleet")
    agent = await stored.agent(owner, project)
    await stored.join(project, mia, Role.REPORTER)
    row = Authorization(access="user_access", project_id=project.id, config="{}")
    asked = {"agent_id": agent.id, "user_id": mia.id, "least_level": Role.DEVELOPER, "today": TODAY}
    async with stored.database.writing() as connection:
        await store.replace_authorizations(connection, agent.id, "{}", [row])
        assert not await store.may_use_any_shared(connection, **asked, share_anywhere=True)


async def test_the_role_at_home_comes_from_the_project_and_from_above(stored: HubServices):
    owner, mia, ben = await stored.user("owner"), await stored.user("mia"), await stored.user("ben")
    group = await stored.group(owner, "ops")
    project = await stored.project(owner, "fleet", group)
    agent = await stored.agent(owner, project)
    await stored.join(project, mia, Role.REPORTER)
    await stored.join(group, ben, Role.DEVELOPER)
    async with stored.database.reading() as connection:
        levels = [
            await store.level_at_home(connection, agent_id=agent.id, user_id=user.id, today=TODAY)
            for user in (owner, mia, ben, await stored.user("eve"))
        ]
        nowhere = await store.level_at_home(connection, agent_id=99, user_id=owner.id, today=TODAY)
    assert (levels, nowhere) == ([Role.OWNER, Role.REPORTER, Role.DEVELOPER, 0], 0)


async def entry_of_each(
    stored: HubServices, project: Project, *, share_anywhere: bool
) -> dict[str, str | None]:
    async with stored.database.reading() as connection:
        found = await store.list_of_jobs(connection, project, share_anywhere=share_anywhere)
    return {shared.agent.name: shared.entry for shared in found}


@pytest.mark.parametrize("present", range(1, 6))
async def test_of_several_entries_the_nearest_decides(stored: HubServices, present):
    owner = await stored.user("owner")
    root = await stored.group(owner, "ops")
    inner = await stored.group(owner, "inner", root)
    fleet, shop = await stored.project(owner, "fleet", root), await stored.project(owner, "shop", inner)
    agent = await stored.agent(owner, fleet)
    from_far_to_near = [
        Authorization(access="ci_access", config="{}", entry="instance"),
        Authorization(access="ci_access", group_id=root.id, config="{}", entry="root"),
        Authorization(access="ci_access", group_id=inner.id, config="{}", entry="inner"),
        Authorization(access="ci_access", project_id=shop.id, config="{}", entry="project"),
        Authorization(access="user_access", project_id=shop.id, config="{}", entry="people"),
    ]
    async with stored.database.writing() as connection:
        await store.replace_authorizations(connection, agent.id, None, from_far_to_near[:present])
    expected = ["instance", "root", "inner", "project", "project"][present - 1]
    assert await entry_of_each(stored, shop, share_anywhere=True) == {"prod": expected}


async def test_a_project_reaches_its_own_agents_unless_an_entry_says_on_which_terms(stored: HubServices):
    owner = await stored.user("owner")
    group = await stored.group(owner, "ops")
    fleet = await stored.project(owner, "fleet", group)
    agent = await stored.agent(owner, fleet)
    by_group = Authorization(access="ci_access", group_id=group.id, config="{}", entry="group")
    by_project = Authorization(access="ci_access", project_id=fleet.id, config="{}", entry="project")
    found = []
    for rows in ([], [by_group], [by_group, by_project]):
        async with stored.database.writing() as connection:
            await store.replace_authorizations(connection, agent.id, None, rows)
        found.append(await entry_of_each(stored, fleet, share_anywhere=False))
    assert found == [{"prod": "implicit"}, {"prod": "implicit"}, {"prod": "project"}]


async def test_agents_come_by_precedence_and_never_from_outside_the_top_level_namespace(stored: HubServices):
    owner = await stored.user("owner")
    root, other = await stored.group(owner, "ops"), await stored.group(owner, "other")
    shop = await stored.project(owner, "shop", root)
    home, away = await stored.project(owner, "home", root), await stored.project(owner, "away", other)
    entries = {
        "by-group": (home, Authorization(access="ci_access", group_id=root.id, config="{}")),
        "own": (shop, None),
        "by-project": (home, Authorization(access="ci_access", project_id=shop.id, config="{}")),
        "from-away": (away, Authorization(access="ci_access", project_id=shop.id, config="{}")),
        "not-shared": (home, None),
    }
    for name, (project, row) in entries.items():
        agent = await stored.agent(owner, project, name)
        async with stored.database.writing() as connection:
            await store.replace_authorizations(connection, agent.id, None, [row] if row else [])
    assert list(await entry_of_each(stored, shop, share_anywhere=False)) == ["by-project", "own", "by-group"]
    anywhere = ["by-project", "from-away", "own", "by-group"]
    assert list(await entry_of_each(stored, shop, share_anywhere=True)) == anywhere


async def test_any_share_counts_for_seeing_the_agent(stored: HubServices):
    owner, mia = await stored.user("owner"), await stored.user("mia")
    project = await stored.project(owner, "fleet")
    agent = await stored.agent(owner, project)
    await stored.join(project, mia, Role.DEVELOPER)
    row = Authorization(access="ci_access", project_id=project.id, config="{}")
    async with stored.database.writing() as connection:
        await store.replace_authorizations(connection, agent.id, None, [row])
        assert await store.may_use_any_shared(
            connection,
            agent_id=agent.id,
            user_id=mia.id,
            least_level=Role.DEVELOPER,
            today=TODAY,
            share_anywhere=False,
        )


@pytest.mark.parametrize("anywhere", [False, True])
async def test_a_share_beyond_the_top_level_group_shows_the_agent_only_where_that_counts(
    stored: HubServices, anywhere: bool
):
    owner, mia = await stored.user("owner"), await stored.user("mia")
    other = await stored.group(owner, "other")
    home, away = await stored.project(owner, "home"), await stored.project(owner, "away", other)
    agent = await stored.agent(owner, home)
    await stored.join(other, mia, Role.DEVELOPER)
    asked = {"agent_id": agent.id, "user_id": mia.id, "least_level": Role.DEVELOPER, "today": TODAY}
    for target in ({"project_id": away.id}, {"group_id": other.id}):
        row = Authorization(access="user_access", config="{}", **target)
        async with stored.database.writing() as connection:
            await store.replace_authorizations(connection, agent.id, "{}", [row])
            shown = await store.may_use_any_shared(connection, **asked, share_anywhere=anywhere)
        assert shown is anywhere


async def test_the_last_use_is_written(stored: HubServices):
    mia = await stored.user("mia")
    agent = await stored.agent(mia, await stored.project(mia, "fleet"))
    async with stored.database.writing() as connection:
        token = await store.insert_token(connection, agent.id, TOKEN, "a" * 64, user_id=mia.id, now=START)
        await store.write_token_last_used(connection, token.id, START)
        found = await store.find_token(connection, agent.id, token.id)
    assert found is not None
    assert found.last_used_at == START
