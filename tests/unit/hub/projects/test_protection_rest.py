"""What clients see of protected branches."""

from __future__ import annotations

import msgspec
import pytest

from kasbah.hub.projects.protection_rest import (
    ListProtectedBranches,
    Protect,
    ProtectedBranchAddress,
    ProtectedBranchesRest,
)
from tests.doubles.hub_services import HubServices
from tests.doubles.rest_call import make_call

pytestmark = pytest.mark.asyncio


async def test_a_rule_is_shown_as_gitlab_shows_it(hub: HubServices):
    mia = await hub.user("mia")
    await hub.project(mia, "fleet")
    call = make_call(authenticated=await hub.accounts.authenticate_pat(await hub.pat(mia)))
    rest = ProtectedBranchesRest(hub.protection, hub.projects)
    asked = Protect(id="mia/fleet", name="release/*", push_access_level=0, merge_access_level=30)
    shown = msgspec.to_builtins((await rest.protect(call, asked)).body)
    nobody = {"deploy_key_id": None, "user_id": None, "group_id": None}
    no_one = {"id": 2, "access_level": 0, "access_level_description": "No one", **nobody}
    developers = {
        "id": 2,
        "access_level": 30,
        "access_level_description": "Developers + Maintainers",
        **nobody,
    }
    assert shown == {
        "id": 2,
        "name": "release/*",
        "push_access_levels": (no_one,),
        "merge_access_levels": (developers,),
        "allow_force_push": False,
        "unprotect_access_levels": (),
        "code_owner_approval_required": False,
        "inherited": False,
    }
    address = ProtectedBranchAddress(id="mia/fleet", name="release/*")
    assert msgspec.to_builtins((await rest.get(call, address)).body) == shown
    listed = await rest.list(call, ListProtectedBranches(id="mia/fleet", search="rel"))
    assert msgspec.to_builtins(listed.body) == [shown]
    assert (await rest.unprotect(call, address)).status == 204
