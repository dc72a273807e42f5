"""What clients see of a project."""

from __future__ import annotations

import msgspec
import pytest

from kasbah.hub.groups.rest import Address
from kasbah.hub.projects.rest import CreateProject, ProjectsRest, project_place
from kasbah.hub.rest.parameters import ParametersError
from tests.doubles.hub_services import HubServices
from tests.doubles.rest_call import make_call

pytestmark = pytest.mark.asyncio


async def test_a_project_is_shown_with_its_addresses(hub: HubServices):
    mia = await hub.user("mia")
    await hub.project(mia, "fleet")
    call = make_call(authenticated=await hub.accounts.authenticate_pat(await hub.pat(mia)))
    reply = await ProjectsRest(hub.projects, hub.groups).get(call, Address(id="mia/fleet"))
    shown = msgspec.to_builtins(reply.body)
    assert shown["http_url_to_repo"] == "https://hub.example/mia/fleet.git"
    assert shown["ssh_url_to_repo"] == "git@hub.example:mia/fleet.git"
    assert shown["name_with_namespace"] == "Mia / fleet"
    assert shown["namespace"]["kind"] == "user"


async def test_a_project_needs_a_name_or_a_path(hub: HubServices):
    mia = await hub.user("mia")
    call = make_call(authenticated=await hub.accounts.authenticate_pat(await hub.pat(mia)))
    rest = ProjectsRest(hub.projects, hub.groups)
    with pytest.raises(ParametersError, match="at least one parameter must be provided"):
        await rest.create(call, CreateProject())
    by_path = await rest.create(call, CreateProject(path="fleet"))
    assert msgspec.to_builtins(by_path.body)["name"] == "fleet"


async def test_maintainers_manage_a_projects_members(hub: HubServices):
    mia = await hub.user("mia")
    project = await hub.project(mia, "fleet")
    call = make_call(authenticated=await hub.accounts.authenticate_pat(await hub.pat(mia)))
    place = await project_place(hub.projects)(call, str(project.id))
    assert (place.source_id, place.caller_level, place.manager_level) == (project.id, 50, 40)
