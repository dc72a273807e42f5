"""What a job and its makers see."""

from __future__ import annotations

import msgspec
import pytest

from kasbah.hub.errors import UnauthenticatedError
from kasbah.hub.jobs.rest import CreateJobToken, JobsRest, JobTokenAddress, ListJobTokens
from kasbah.hub.rest.access import JOB
from kasbah.kit.secrets import Secret
from tests.doubles.hub_services import HubServices
from tests.doubles.rest_call import make_call

pytestmark = pytest.mark.asyncio


def rest_of(hub: HubServices) -> JobsRest:
    return JobsRest(hub.jobs, hub.access, hub.projects, hub.groups, hub.clock)


async def test_a_token_is_shown_once_with_the_agents_it_reaches(hub: HubServices):
    mia = await hub.user("mia")
    agent = await hub.agent(mia, await hub.project(mia, "fleet"))
    call = make_call(authenticated=await hub.accounts.authenticate_pat(await hub.pat(mia)))
    asked = CreateJobToken(id="mia/fleet", ref="refs/heads/main", environment="production")
    made = msgspec.to_builtins((await rest_of(hub).create(call, asked)).body)
    assert made["token"].startswith("glcbt-")
    assert made["agents"] == [
        {"id": agent.id, "name": "prod", "project_path": "mia/fleet", "default_namespace": None}
    ]
    assert made["environment"] == {"name": "production", "slug": "production", "tier": "production"}
    address = JobTokenAddress(id="mia/fleet", job_id=made["id"])
    shown = msgspec.to_builtins((await rest_of(hub).get(call, address)).body)
    assert shown == {name: value for name, value in made.items() if name not in {"token", "agents"}}
    listed = msgspec.to_builtins((await rest_of(hub).list(call, ListJobTokens(id="mia/fleet"))).body)
    assert listed == [shown]


async def test_a_job_sees_itself_while_it_runs(hub: HubServices):
    mia = await hub.user("mia")
    await hub.project(mia, "fleet")
    person = make_call(authenticated=await hub.accounts.authenticate_pat(await hub.pat(mia)))
    asked = CreateJobToken(id="mia/fleet", ref="refs/tags/v1", expires_in=2**62)
    with pytest.raises(Exception, match="Expires in"):
        await rest_of(hub).create(person, asked)
    asked = CreateJobToken(id="mia/fleet", ref="refs/tags/v1", pipeline_id=800)
    made = (await rest_of(hub).create(person, asked)).body
    call = make_call(job_token=Secret(made.token))
    seen = msgspec.to_builtins((await rest_of(hub).current(call, None)).body)
    assert (seen["id"], seen["status"], seen["ref"], seen["tag"]) == (made.id, "running", "v1", True)
    assert (seen["pipeline"]["id"], seen["user"]["username"]) == (800, "mia")
    await rest_of(hub).finish(person, JobTokenAddress(id="mia/fleet", job_id=made.id))
    with pytest.raises(UnauthenticatedError):
        await rest_of(hub).current(call, None)


async def test_two_routes_are_for_jobs_alone(hub: HubServices):
    paths = [route.path for route in rest_of(hub).routes() if route.access == JOB]
    assert paths == ["/job", "/job/allowed_agents"]
