"""What clients see of agents and tokens."""

from __future__ import annotations

import msgspec
import pytest

from kasbah.hub.agents.rest import AgentsRest, CreateAgent, CreateToken, ListTokens
from tests.doubles.hub_services import HubServices
from tests.doubles.rest_call import make_call

pytestmark = pytest.mark.asyncio


async def test_a_value_is_shown_once_and_a_list_shows_no_use(hub: HubServices):
    mia = await hub.user("mia")
    await hub.project(mia, "fleet")
    call = make_call(authenticated=await hub.accounts.authenticate_pat(await hub.pat(mia)))
    rest = AgentsRest(hub.agents, hub.agent_tokens, hub.projects, hub.groups)
    agent = msgspec.to_builtins((await rest.create(call, CreateAgent(id="mia/fleet", name="prod"))).body)
    assert agent["config_project"]["name_with_namespace"] == "Mia / fleet"
    asked = CreateToken(id="mia/fleet", agent_id=agent["id"], name="t")
    made = msgspec.to_builtins((await rest.create_token(call, asked)).body)
    assert made["token"].startswith("glagent-")
    listed = await rest.list_tokens(call, ListTokens(id="mia/fleet", agent_id=agent["id"]))
    assert set(msgspec.to_builtins(listed.body)[0]) == set(made) - {"token", "last_used_at"}


async def test_every_route_is_below_a_project(hub: HubServices):
    rest = AgentsRest(hub.agents, hub.agent_tokens, hub.projects, hub.groups)
    assert {route.path.split("/")[1] for route in rest.routes()} == {"projects"}
