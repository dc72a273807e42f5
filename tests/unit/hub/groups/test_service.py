"""Groups: who may see them and build in them."""

from __future__ import annotations

import pytest

from kasbah.hub.errors import FieldsInvalidError, ForbiddenError, NotFoundError
from kasbah.hub.groups.model import DEEPEST_GROUP, NewGroup, Role
from tests.doubles.hub_services import HubServices

pytestmark = pytest.mark.asyncio


async def test_whoever_makes_a_group_owns_it(hub: HubServices):
    mia = await hub.user("mia")
    group = await hub.group(mia, "ops")
    assert await hub.groups.access_level(mia, group) == Role.OWNER
    assert await hub.groups.access_level(None, group) == 0


async def test_administrators_own_everything(hub: HubServices):
    group = await hub.group(await hub.user("mia"), "ops")
    assert await hub.groups.access_level(await hub.user("root", is_admin=True), group) == Role.OWNER


async def test_a_private_group_is_hidden(hub: HubServices):
    mia, bob = await hub.user("mia"), await hub.user("bob")
    group = await hub.group(mia, "ops")
    for caller in (bob, None):
        with pytest.raises(NotFoundError):
            await hub.groups.get(caller, "ops")
    await hub.join(group, bob, Role.GUEST)
    assert await hub.groups.get(bob, "OPS") == await hub.groups.get(bob, group.id) == group


async def test_an_internal_group_is_for_those_signed_in(hub: HubServices):
    mia, bob = await hub.user("mia"), await hub.user("bob")
    group = await hub.groups.create(mia, NewGroup(name="x", path="x", visibility="internal"))
    assert await hub.groups.can_read(bob, group)
    assert not await hub.groups.can_read(None, group)


async def test_a_users_namespace_is_no_group(hub: HubServices):
    mia = await hub.user("mia")
    with pytest.raises(NotFoundError):
        await hub.groups.get(mia, "mia")
    assert (await hub.groups.find_of_user(mia)).full_path == "mia"


async def test_subgroups_are_built_by_maintainers(hub: HubServices):
    mia, bob = await hub.user("mia"), await hub.user("bob")
    group = await hub.group(mia, "ops")
    await hub.join(group, bob, Role.DEVELOPER)
    with pytest.raises(ForbiddenError):
        await hub.group(bob, "inner", group)


@pytest.mark.parametrize(
    ("new", "field"),
    [
        (NewGroup(name="", path="x"), "name"),
        (NewGroup(name="x", path=".."), "path"),
        (NewGroup(name="x", path="MIA"), "path"),
    ],
)
async def test_a_group_that_breaks_a_rule_is_not_made(hub: HubServices, new, field):
    mia = await hub.user("mia")
    with pytest.raises(FieldsInvalidError) as refused:
        await hub.groups.create(mia, new)
    assert list(refused.value.fields) == [field]


async def test_groups_have_a_deepest_level(hub: HubServices):
    mia, group = await hub.user("mia"), None
    for number in range(DEEPEST_GROUP):
        group = await hub.group(mia, f"g{number}", group)
    with pytest.raises(FieldsInvalidError) as refused:
        await hub.group(mia, "deeper", group)
    assert list(refused.value.fields) == ["parent_id"]


async def test_a_user_of_a_damaged_database_has_no_namespace(hub: HubServices):
    mia = await hub.user("mia")
    async with hub.database.writing() as connection:
        await connection.exec_driver_sql("DELETE FROM namespaces")
    with pytest.raises(NotFoundError):
        await hub.groups.find_of_user(mia)
