"""Giving and taking roles."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kasbah.hub.errors import ForbiddenError, NotFoundError, TakenError
from kasbah.hub.groups.members import Place
from kasbah.hub.groups.model import Role
from tests.doubles.hub_services import HubServices

pytestmark = pytest.mark.asyncio


def place(project_id: int, level: int = Role.MAINTAINER) -> Place:
    return Place(source_id=project_id, caller_level=level, manager_level=Role.MAINTAINER)


async def test_a_role_is_given_changed_and_taken(hub: HubServices):
    owner, mia = await hub.user("owner"), await hub.user("mia")
    project = await hub.project(owner, "fleet")
    here = place(project.id)
    await hub.project_members.add(here, mia.id, Role.GUEST, None)
    until = hub.clock().date() + timedelta(days=1)
    member, user = await hub.project_members.change(here, mia.id, Role.DEVELOPER, until)
    assert (user, member.access_level, member.expires_at) == (mia, Role.DEVELOPER, until)
    assert await hub.projects.access_level(mia, project) == Role.DEVELOPER
    await hub.project_members.remove(here, owner, mia.id)
    assert await hub.projects.access_level(mia, project) == 0


async def test_a_member_is_added_once(hub: HubServices):
    owner, mia = await hub.user("owner"), await hub.user("mia")
    here = place((await hub.project(owner, "fleet")).id)
    await hub.project_members.add(here, mia.id, Role.GUEST, None)
    with pytest.raises(TakenError, match="Member already exists"):
        await hub.project_members.add(here, mia.id, Role.GUEST, None)


@pytest.mark.parametrize(
    ("caller_level", "given"),
    [(Role.DEVELOPER, Role.GUEST), (Role.MAINTAINER, Role.OWNER)],
)
async def test_nobody_gives_what_they_do_not_have(hub: HubServices, caller_level, given):
    owner, mia = await hub.user("owner"), await hub.user("mia")
    project = await hub.project(owner, "fleet")
    with pytest.raises(ForbiddenError):
        await hub.project_members.add(place(project.id, caller_level), mia.id, given, None)


async def test_a_maintainer_does_not_touch_an_owner(hub: HubServices):
    owner, mia = await hub.user("owner"), await hub.user("mia")
    project = await hub.project(owner, "fleet")
    await hub.join(project, mia, Role.OWNER)
    with pytest.raises(ForbiddenError):
        await hub.project_members.change(place(project.id), mia.id, Role.GUEST, None)
    with pytest.raises(ForbiddenError):
        await hub.project_members.remove(place(project.id), owner, mia.id)


async def test_everybody_may_leave(hub: HubServices):
    owner, mia = await hub.user("owner"), await hub.user("mia")
    project = await hub.project(owner, "fleet")
    await hub.join(project, mia, Role.GUEST)
    await hub.project_members.remove(place(project.id, Role.GUEST), mia, mia.id)
    assert (await hub.project_members.list(project.id, limit=20, offset=0)) == ([], 0)


async def test_who_is_not_there_is_not_found(hub: HubServices):
    owner = await hub.user("owner")
    here = place((await hub.project(owner, "fleet")).id)
    with pytest.raises(NotFoundError):
        await hub.project_members.add(here, 99, Role.GUEST, None)
    with pytest.raises(NotFoundError):
        await hub.project_members.get(here.source_id, owner.id)
    with pytest.raises(NotFoundError):
        await hub.project_members.change(here, 99, Role.GUEST, None)
    with pytest.raises(NotFoundError):
        await hub.project_members.remove(here, owner, 99)


async def test_an_ended_role_opens_nothing(hub: HubServices):
    owner, mia = await hub.user("owner"), await hub.user("mia")
    project = await hub.project(owner, "fleet")
    tomorrow = hub.clock().date() + timedelta(days=1)
    await hub.project_members.add(place(project.id), mia.id, Role.DEVELOPER, tomorrow)
    assert await hub.projects.can_read(mia, project)
    hub.clock.turn(days=1)
    assert not await hub.projects.can_read(mia, project)
