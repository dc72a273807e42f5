"""Projects and who reaches them, on either database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from kasbah.hub.groups.model import Role
from kasbah.hub.projects import store
from kasbah.hub.projects.model import NewProject, NewProtectedBranch
from tests.doubles.hub_services import START, HubServices

pytestmark = pytest.mark.asyncio
TODAY = START.date()


async def test_a_project_comes_back_by_number_and_by_path(stored: HubServices):
    mia = await stored.user("mia")
    project = await stored.project(mia, "Fleet")
    async with stored.database.reading() as connection:
        assert await store.find(connection, project.id) == project
        assert await store.find_by_path(connection, "MIA/fleet") == project
        assert await store.find_by_path(connection, "mia") is None  # a namespace is no project


async def test_a_role_comes_from_the_project_or_from_above(stored: HubServices):
    owner, mia, bob = [await stored.user(name) for name in ("owner", "mia", "bob")]
    group = await stored.group(owner, "ops")
    project = await stored.project(owner, "fleet", group)
    await stored.join(project, mia, Role.REPORTER)
    await stored.join(group, bob, Role.DEVELOPER)
    async with stored.database.reading() as connection:
        levels = [await store.access_level(connection, user.id, project, TODAY) for user in (owner, mia, bob)]
    assert levels == [Role.OWNER, Role.REPORTER, Role.DEVELOPER]


async def test_lists_show_what_the_reader_may_see(stored: HubServices):
    owner, mia = await stored.user("owner"), await stored.user("mia")
    await stored.project(owner, "private")
    await stored.projects.create(owner, NewProject(name="inner", path="inner", visibility="internal"))
    await stored.projects.create(owner, NewProject(name="open", path="open", visibility="public"))
    seen = {}
    async with stored.database.reading() as connection:
        for name, user in (("owner", owner), ("mia", mia), ("nobody", None)):
            projects, _ = await store.list_projects(
                connection,
                user,
                today=TODAY,
                search=None,
                namespace_id=None,
                membership=False,
                limit=20,
                offset=0,
            )
            seen[name] = [project.path for project in projects]
    assert seen == {"owner": ["open", "inner", "private"], "mia": ["open", "inner"], "nobody": ["open"]}


async def test_lists_narrow_by_membership_namespace_and_words(stored: HubServices):
    owner, mia = await stored.user("owner"), await stored.user("mia")
    group = await stored.group(owner, "ops")
    fleet = await stored.project(owner, "fleet", group)
    await stored.projects.create(owner, NewProject(name="open", path="open", visibility="public"))
    await stored.join(fleet, mia, Role.GUEST)
    async with stored.database.reading() as connection:
        for narrowed in (
            {"search": "FLEE", "namespace_id": None, "membership": False},
            {"search": None, "namespace_id": group.id, "membership": False},
            {"search": None, "namespace_id": None, "membership": True},
        ):
            projects, total = await store.list_projects(
                connection, mia, today=TODAY, limit=20, offset=0, **narrowed
            )
            assert ([project.path for project in projects], total) == (["fleet"], 1)


async def test_paths_are_looked_up_below_one_root_only(stored: HubServices):
    mia = await stored.user("mia")
    group = await stored.group(mia, "ops")
    here, there = await stored.project(mia, "here", group), await stored.project(mia, "there")
    async with stored.database.reading() as connection:
        paths = ["OPS/here", "mia/there", "no/where"]
        within = await store.find_ids_by_paths(connection, paths, group.root_id)
        anywhere = await store.find_ids_by_paths(connection, paths, None)
    assert within == {"ops/here": here.id}
    assert anywhere == {"ops/here": here.id, "mia/there": there.id}


async def test_a_number_is_never_given_out_twice(stored: HubServices):
    mia = await stored.user("mia")
    first = await stored.project(mia, "one")
    async with stored.database.writing() as connection:
        assert await store.delete(connection, first.id)
        assert not await store.delete(connection, first.id)
    assert (await stored.project(mia, "one")).id > first.id


async def test_activity_and_default_branch_are_written(stored: HubServices):
    project = await stored.project(await stored.user("mia"), "fleet")
    later = START + timedelta(hours=1)
    async with stored.database.writing() as connection:
        await store.touch(connection, project.id, later)
        await store.set_default_branch(connection, project.id, "trunk")
        found = await store.find(connection, project.id)
    assert found is not None
    assert (found.last_activity_at, found.default_branch) == (later, "trunk")


async def test_protected_branches_are_kept_by_project_and_name(stored: HubServices):
    mia = await stored.user("mia")
    one, two = await stored.project(mia, "one"), await stored.project(mia, "two")
    new = NewProtectedBranch(name="v*", push_access_level=0, merge_access_level=60, allow_force_push=True)
    async with stored.database.writing() as connection:
        made = await store.protect(connection, one.id, new, START)
        found = await store.list_protected_branches(connection, one.id)
        assert [branch.name for branch in found] == ["main", "v*"]
        assert found[1] == made
        assert not await store.unprotect(connection, two.id, "v*")
        assert await store.unprotect(connection, one.id, "v*")
        assert await store.delete(connection, two.id)
        assert await store.list_protected_branches(connection, two.id) == []
    with pytest.raises(IntegrityError):
        async with stored.database.writing() as connection:
            await store.protect(connection, one.id, NewProtectedBranch(name="main"), START)
