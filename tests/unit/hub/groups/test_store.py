"""Namespaces, paths and roles, on either database."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from kasbah.hub.groups import store
from kasbah.hub.groups.model import Role
from tests.doubles.hub_services import START, HubServices

pytestmark = pytest.mark.asyncio
TODAY = START.date()


async def test_a_group_knows_its_root_and_its_full_path(stored: HubServices):
    mia = await stored.user("mia")
    top = await stored.group(mia, "ops")
    below = await stored.group(mia, "fleet", top)
    async with stored.database.reading() as connection:
        found = await store.find(connection, below.id)
    assert found == below
    assert (below.full_path, below.root_id, top.root_id) == ("ops/fleet", top.id, top.id)


async def test_a_path_belongs_to_one_thing_only(stored: HubServices):
    mia = await stored.user("mia")
    group = await stored.group(mia, "ops")
    with pytest.raises(IntegrityError):
        async with stored.database.writing() as connection:
            await store.insert(connection, replace(group, path="MIA", full_path="MIA"))


async def test_ancestors_come_from_the_inside_out(stored: HubServices):
    mia = await stored.user("mia")
    top = await stored.group(mia, "a")
    middle = await stored.group(mia, "b", top)
    inner = await stored.group(mia, "c", middle)
    async with stored.database.reading() as connection:
        assert await store.list_ancestors(connection, inner) == [inner, middle, top]


async def test_a_role_is_inherited_downward_and_the_highest_counts(stored: HubServices):
    owner, mia = await stored.user("owner"), await stored.user("mia")
    top = await stored.group(owner, "a")
    inner = await stored.group(owner, "b", top)
    await stored.join(top, mia, Role.DEVELOPER)
    await stored.join(inner, mia, Role.GUEST)
    async with stored.database.reading() as connection:
        assert await store.access_level(connection, mia.id, inner.id, TODAY) == Role.DEVELOPER
        assert await store.access_level(connection, mia.id, top.id, TODAY) == Role.DEVELOPER


async def test_a_role_below_says_nothing_about_above(stored: HubServices):
    owner, mia = await stored.user("owner"), await stored.user("mia")
    top = await stored.group(owner, "a")
    inner = await stored.group(owner, "b", top)
    await stored.join(inner, mia, Role.OWNER)
    async with stored.database.reading() as connection:
        assert await store.access_level(connection, mia.id, top.id, TODAY) == 0


async def test_everybody_owns_their_own_namespace(stored: HubServices):
    mia, bob = await stored.user("mia"), await stored.user("bob")
    async with stored.database.reading() as connection:
        own = await store.find_of_user(connection, mia.id)
        assert own is not None
        assert await store.access_level(connection, mia.id, own.id, TODAY) == Role.OWNER
        assert await store.access_level(connection, bob.id, own.id, TODAY) == 0


async def test_a_role_ends_on_its_date(stored: HubServices):
    owner, mia = await stored.user("owner"), await stored.user("mia")
    group = await stored.group(owner, "a")
    await stored.join(group, mia, Role.DEVELOPER)
    async with stored.database.writing() as connection:
        member = await store.members.find(connection, group.id, mia.id)
        assert member is not None
        await store.members.update(connection, member, Role.DEVELOPER, TODAY)
        assert await store.access_level(connection, mia.id, group.id, TODAY) == 0
        yesterday = TODAY - timedelta(days=1)
        assert await store.access_level(connection, mia.id, group.id, yesterday) == Role.DEVELOPER


async def test_levels_name_every_namespace_within_reach(stored: HubServices):
    owner, mia = await stored.user("owner"), await stored.user("mia")
    top = await stored.group(owner, "a")
    inner = await stored.group(owner, "b", top)
    await stored.group(owner, "elsewhere")
    await stored.join(top, mia, Role.REPORTER)
    async with stored.database.reading() as connection:
        levels = store.levels_of(mia.id, TODAY)
        found = {row[0]: row[1] for row in await connection.execute(levels.select())}
    assert {key: found[key] for key in (top.id, inner.id)} == {top.id: 20, inner.id: 20}
    assert len(found) == 3  # the third is mia's own


async def test_lists_show_what_the_reader_may_see(stored: HubServices):
    owner, mia = await stored.user("owner"), await stored.user("mia")
    secret = await stored.group(owner, "secret")
    await stored.group(owner, "below", secret)
    async with stored.database.reading() as connection:
        for user, expected in ((owner, 2), (mia, 0), (None, 0)):
            _, total = await store.list_groups(
                connection, user, today=TODAY, search=None, below=None, limit=20, offset=0
            )
            assert total == expected


async def test_paths_are_looked_up_below_one_root_only(stored: HubServices):
    mia = await stored.user("mia")
    here, there = await stored.group(mia, "here"), await stored.group(mia, "there")
    async with stored.database.reading() as connection:
        within = await store.find_ids_by_paths(connection, ["Here", "there", "mia"], here.root_id)
        anywhere = await store.find_ids_by_paths(connection, ["here", "there", "mia"], None)
    assert within == {"here": here.id}
    assert anywhere == {"here": here.id, "there": there.id}  # mia's namespace is no group


async def test_members_are_kept_in_the_order_they_joined(stored: HubServices):
    owner, mia = await stored.user("owner"), await stored.user("mia")
    group = await stored.group(owner, "a")
    await stored.join(group, mia, Role.GUEST)
    async with stored.database.writing() as connection:
        members, total = await store.members.list(connection, group.id, limit=20, offset=0)
        assert await store.members.delete(connection, group.id, mia.id)
        assert not await store.members.delete(connection, group.id, mia.id)
    assert ([member.user_id for member in members], total) == ([owner.id, mia.id], 2)


async def test_a_membership_comes_back_as_it_went_in(stored: HubServices):
    owner = await stored.user("owner")
    group = await stored.group(owner, "a")
    async with stored.database.reading() as connection:
        member = await store.members.find(connection, group.id, owner.id)
    assert member is not None
    assert (member.access_level, member.expires_at, type(member.created_at.date())) == (50, None, date)
