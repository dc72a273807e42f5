"""What clients see of groups and members."""

from __future__ import annotations

import pytest

from kasbah.hub.groups.members import Place
from kasbah.hub.groups.model import Role
from kasbah.hub.groups.rest import CreateGroup, GroupEntity, GroupsRest, full_name, group_place, reference
from kasbah.hub.rest.errors import ApiError
from tests.doubles.hub_services import HubServices
from tests.doubles.rest_call import SITE, make_call


@pytest.mark.parametrize(
    ("text", "meant"),
    [("7", 7), ("a/b", "a/b"), ("007", 7), ("²", "²"), ("-1", "-1"), ("9" * 19, "9" * 19)],
)
def test_an_id_is_a_number_or_a_path(text, meant):
    assert reference(text) == meant


@pytest.mark.asyncio
async def test_a_group_shows_its_whole_name_and_address(hub: HubServices):
    mia = await hub.user("mia")
    inner = await hub.group(mia, "fleet", await hub.group(mia, "ops"))
    name = full_name(await hub.groups.list_ancestors(inner))
    entity = GroupEntity.of(inner, name, SITE)
    assert (entity.full_name, entity.web_url) == ("Ops / Fleet", "https://hub.example/groups/ops/fleet")


@pytest.mark.asyncio
async def test_a_refusal_is_a_ruby_hash_as_gitlab_writes_it(hub: HubServices):
    secret = await hub.pat(await hub.user("mia"))
    call = make_call(authenticated=await hub.accounts.authenticate_pat(secret))
    with pytest.raises(ApiError) as refused:
        await GroupsRest(hub.groups).create(call, CreateGroup(name="x", path="mia"))
    assert str(refused.value) == 'Failed to save group {:path=>["has already been taken"]}'


@pytest.mark.asyncio
async def test_owners_manage_a_groups_members(hub: HubServices):
    mia = await hub.user("mia")
    group = await hub.group(mia, "ops")
    secret = await hub.pat(mia)
    call = make_call(authenticated=await hub.accounts.authenticate_pat(secret))
    place = await group_place(hub.groups)(call, "ops")
    assert place == Place(source_id=group.id, caller_level=Role.OWNER, manager_level=Role.OWNER)
