"""Projects come with their repository, and only to those who may see them."""

from __future__ import annotations

import pytest

from kasbah.hub.errors import FieldsInvalidError, NotFoundError, RepositoryUnavailableError
from kasbah.hub.groups.model import Role
from kasbah.hub.projects.model import NewProject
from tests.doubles.hub_services import HubServices

pytestmark = pytest.mark.asyncio


async def test_a_project_has_a_repository(hub: HubServices):
    mia = await hub.user("mia")
    new = NewProject(name="x", path="x", default_branch="trunk")
    project = await hub.projects.create(mia, new)
    assert hub.repositories.branches == {project.id: "trunk"}
    await hub.projects.delete(project)
    assert hub.repositories.branches == {}
    assert await hub.projects.find(project.id) is None


async def test_no_project_without_a_repository(hub: HubServices):
    mia = await hub.user("mia")
    hub.repositories.full = True
    with pytest.raises(RepositoryUnavailableError):
        await hub.project(mia, "fleet")
    assert await hub.projects.find_by_path("mia/fleet") is None


async def test_a_path_is_taken_once(hub: HubServices):
    mia = await hub.user("mia")
    await hub.project(mia, "fleet")
    with pytest.raises(FieldsInvalidError) as refused:
        await hub.project(mia, "Fleet")
    assert list(refused.value.fields) == ["name", "path"]


async def test_developers_build_in_a_group_and_others_do_not(hub: HubServices):
    owner, mia = await hub.user("owner"), await hub.user("mia")
    group = await hub.group(owner, "ops")
    with pytest.raises(FieldsInvalidError) as refused:
        await hub.project(mia, "fleet", group)
    assert refused.value.fields == {"namespace": ["is not valid"]}
    await hub.join(group, mia, Role.DEVELOPER)
    assert (await hub.project(mia, "fleet", group)).full_path == "ops/fleet"


async def test_an_invisible_project_is_not_found(hub: HubServices):
    mia, bob = await hub.user("mia"), await hub.user("bob")
    project = await hub.project(mia, "fleet")
    for caller in (bob, None):
        with pytest.raises(NotFoundError):
            await hub.projects.get(caller, project.id)
    assert await hub.projects.get(mia, "MIA/fleet") == project


@pytest.mark.parametrize(
    ("visibility", "signed_in", "nobody"),
    [("private", False, False), ("internal", True, False), ("public", True, True)],
)
async def test_visibility_decides_who_reads(hub: HubServices, visibility, signed_in, nobody):
    mia, bob = await hub.user("mia"), await hub.user("bob")
    project = await hub.projects.create(mia, NewProject(name="x", path="x", visibility=visibility))
    assert await hub.projects.can_read(bob, project) is signed_in
    assert await hub.projects.can_read(None, project) is nobody
    assert await hub.projects.access_level(bob, project) == 0


async def test_roles_are_told_apart_by_where_they_come_from(hub: HubServices):
    owner, mia = await hub.user("owner"), await hub.user("mia")
    group = await hub.group(owner, "ops")
    project = await hub.project(owner, "fleet", group)
    await hub.join(project, mia, Role.MAINTAINER)
    await hub.join(group, mia, Role.GUEST)
    assert await hub.projects.levels(mia, project, group) == (Role.MAINTAINER, Role.GUEST)
    own = await hub.project(mia, "mine")
    assert await hub.projects.levels(mia, own, await hub.projects.namespace_of(own)) == (Role.OWNER, 0)


async def test_activity_is_written(hub: HubServices):
    project = await hub.project(await hub.user("mia"), "fleet")
    hub.clock.turn(hours=1)
    await hub.projects.touch(project.id)
    await hub.projects.set_default_branch(project.id, "trunk")
    found = await hub.projects.find(project.id)
    assert found is not None
    assert (found.last_activity_at, found.default_branch) == (hub.clock(), "trunk")
