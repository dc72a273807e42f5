"""What kas hears about agents."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from kasbah.hub.agents.internal import (
    AgentConfiguration,
    AgentsInternal,
    AuthorizeProxyUser,
    GitalyRepository,
)
from kasbah.hub.agents.model import NewAgentToken
from kasbah.hub.errors import InsufficientScopeError, RefusedError, UnauthenticatedError
from kasbah.hub.rest.access import KAS
from kasbah.hub.rest.parameters import ParametersError
from tests.doubles.git_accounts import make_project
from tests.doubles.hub_services import HubServices
from tests.doubles.rest_call import make_call


def internal(hub: HubServices) -> AgentsInternal:
    return AgentsInternal(
        hub.agents, hub.agent_tokens, hub.access, hub.accounts, hub.projects, sessions=hub.sessions
    )


def question(
    key: str, access_type: str = "personal_access_token", csrf_token: str | None = None
) -> AuthorizeProxyUser:
    return AuthorizeProxyUser(agent_id=1, access_type=access_type, access_key=key, csrf_token=csrf_token)


def test_a_repository_lies_where_gitlab_would_put_it():
    digest = hashlib.sha256(b"7").hexdigest()
    found = GitalyRepository.of(make_project(7, "group/sub/app"))
    assert found.relative_path == f"@hashed/{digest[:2]}/{digest[2:4]}/{digest}.git"
    assert (found.gl_repository, found.gl_project_path) == ("project-7", "group/sub/app")


@pytest.mark.asyncio
async def test_every_route_is_kas_alone(hub: HubServices):
    assert {route.access for route in internal(hub).routes()} == {KAS}


@pytest.mark.asyncio
@pytest.mark.parametrize("header", ["Authorization", "Gitlab-Agentk-Api-Request", "Gitlab-Agent-Api-Request"])
async def test_an_agent_is_known_by_its_token(hub: HubServices, header):
    mia = await hub.user("mia")
    agent = await hub.agent(mia, await hub.project(mia, "fleet"))
    _, secret = await hub.agent_tokens.create(mia, agent, NewAgentToken(name="t", description=None))
    value = f"Bearer {secret.reveal()}" if header == "Authorization" else secret.reveal()
    reply = await internal(hub).agent_info(make_call(headers={header: value}), None)
    assert msgspec.to_builtins(reply.body)["agent_name"] == "prod"


@pytest.mark.asyncio
async def test_without_a_token_there_is_no_agent(hub: HubServices):
    with pytest.raises(UnauthenticatedError):
        await internal(hub).agent_info(make_call(), None)


@pytest.mark.asyncio
async def test_a_token_for_something_else_does_not_open_the_proxy(hub: HubServices):
    secret = await hub.pat(await hub.user("mia"), "api", "sudo")
    with pytest.raises(InsufficientScopeError) as refused:
        await internal(hub).authorize_proxy_user(make_call(), question(secret.reveal()))
    assert refused.value.required == ("k8s_proxy",)


@pytest.mark.asyncio
async def test_a_cookie_that_is_not_ours_is_refused(hub: HubServices):
    with pytest.raises(RefusedError, match="Invalid access_key"):
        await internal(hub).authorize_proxy_user(make_call(), question("x", "session_cookie", "y"))


@pytest.mark.asyncio
@pytest.mark.parametrize(("csrf_token", "problem"), [(None, "missing"), ("", "empty"), (" ", "empty")])
async def test_a_cookie_comes_with_a_csrf_token(hub: HubServices, csrf_token, problem):
    with pytest.raises(ParametersError, match=f"csrf_token is {problem}"):
        await internal(hub).authorize_proxy_user(make_call(), question("x", "session_cookie", csrf_token))


@pytest.mark.asyncio
async def test_a_configuration_is_an_object(hub: HubServices):
    with pytest.raises(ParametersError, match="agent_config is invalid"):
        await internal(hub).replace_configuration(make_call(), AgentConfiguration(1, ["x"]))
