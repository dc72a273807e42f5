"""The hub as kas' own client and a real git see it: the whole way of a configuration."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.errors import (
    AgentNotAllowedError,
    HubError,
    HubForbiddenError,
    HubNotFoundError,
    HubUnauthenticatedError,
)
from kasbah.kas.hub_client.records import (
    AS_AGENT,
    AS_JOB,
    AccessAsUser,
    JobEnvironment,
    RolesAt,
    UsageMetrics,
)
from kasbah.kit.secrets import Secret
from tests.integration.hub.conftest import KAS_KEY, URL, World
from tests.integration.repositories.conftest import Git, serving_application

pytestmark = pytest.mark.asyncio


def hub_client(world: World) -> HubClient:
    transport = httpx2.ASGITransport(world.app.asgi, raise_app_exceptions=False)
    return HubClient(httpx2.AsyncClient(transport=transport, base_url=URL), KAS_KEY)


async def test_kas_learns_who_an_agent_is(world: World):
    kas, project = hub_client(world), await world.project("fleet")
    agent = await world.agent(project)
    token = await world.agent_token(project, agent)
    info = await kas.agent_info(Secret(token["token"]))
    assert (info.agent_id, info.project_id, info.project_path) == (agent, project, "root/fleet")
    await world.root.delete(f"/projects/{project}/cluster_agents/{agent}")
    with pytest.raises(HubUnauthenticatedError):
        await kas.agent_info(Secret(token["token"]), fresh=True)


async def test_kas_learns_as_whom_a_person_acts(world: World):
    kas, project = hub_client(world), await world.project("fleet")
    agent = await world.agent(project)
    key = Secret(await world.person("mia", "k8s_proxy"))
    await world.member(f"/projects/{project}", "mia", 30)
    shares = {"projects": [{"id": "root/fleet"}]}
    await kas.agent_configuration(agent, {"user_access": {"access_as": {"agent": {}}, **shares}})
    assert (await kas.authorize_proxy_user(agent, key)).access_as == AS_AGENT
    await kas.agent_configuration(agent, {"user_access": {"access_as": {"user": {}}, **shares}})
    found = await kas.authorize_proxy_user(agent, key)
    roles = RolesAt(id=project, roles=("guest", "reporter", "developer"))
    assert (found.username, found.access_as) == ("mia", AccessAsUser(projects=(roles,)))


async def test_kas_learns_which_entry_lets_a_person_in_and_what_keeps_one_out(world: World):
    kas, project = hub_client(world), await world.project("fleet")
    agent = await world.agent(project)
    developer = Secret(await world.person("mia", "k8s_proxy"))
    reporter = Secret(await world.person("rob", "k8s_proxy"))
    await world.member(f"/projects/{project}", "mia", 30)
    await world.member(f"/projects/{project}", "rob", 20)
    shared = {"user_access": {"access_as": {"agent": {}}, "projects": [{"id": "root/fleet"}]}}
    lines = {"user_access.projects[0]": 4}
    await kas.agent_configuration(agent, shared, lines=lines, commit_id="c" * 40)
    basis = (await kas.authorize_proxy_user(agent, developer)).basis
    assert basis is not None
    assert (basis.entry, basis.line, basis.project_path) == ("user_access.projects[0]", 4, "root/fleet")
    with pytest.raises(HubForbiddenError) as caught:
        await kas.authorize_proxy_user(agent, reporter)
    assert "user_access.projects[0] in line 4" in caught.value.reason


async def test_kas_learns_as_whom_a_job_acts_and_what_keeps_one_out(world: World):
    kas, project = hub_client(world), await world.project("fleet")
    agent, other = await world.agent(project), await world.agent(await world.project("other"), "two")
    shop = await world.project("shop")
    terms = {"id": "root/shop", "access_as": {"ci_job": {}}, "environments": ["production"]}
    await kas.agent_configuration(agent, {"ci_access": {"projects": [terms]}})
    path, ref = f"/projects/{shop}/job_tokens", "refs/heads/main"
    made = (await world.root.post(path, json={"ref": ref, "environment": "production"})).json()
    token = Secret(made["token"])
    job = await kas.authorize_proxy_job(agent, token)
    assert (job.job_id, job.project_id, job.group_ids, job.access_as) == (made["id"], shop, (), AS_JOB)
    assert (job.username, job.config_project_id) == ("root", project)
    assert job.environment == JobEnvironment(slug="production", tier="production")
    with pytest.raises(AgentNotAllowedError) as caught:
        await kas.authorize_proxy_job(other, token)
    assert caught.value.reason == ""
    elsewhere = (await world.root.post(path, json={"ref": ref, "environment": "staging"})).json()
    with pytest.raises(AgentNotAllowedError) as caught:
        await kas.authorize_proxy_job(agent, Secret(elsewhere["token"]))
    assert "staging matches none of production" in caught.value.reason
    await world.root.delete(f"{path}/{made['id']}")
    with pytest.raises(HubUnauthenticatedError):
        await kas.authorize_proxy_job(agent, token)


async def test_kas_hears_each_refusal_as_its_own_error(world: World):
    kas, project = hub_client(world), await world.project("fleet")
    agent = await world.agent(project)
    key = Secret(await world.person("mia", "k8s_proxy"))
    with pytest.raises(HubForbiddenError):
        await kas.authorize_proxy_user(agent, key)
    with pytest.raises(HubNotFoundError):
        await kas.authorize_proxy_user(99, key)
    with pytest.raises(HubError):
        await kas.authorize_proxy_user(agent, Secret("glpat-unknown"))
    await kas.agent_configuration(99, {})  # the agent was deleted meanwhile: kas need not care


async def test_kas_reports_usage(world: World):
    await hub_client(world).usage_metrics(UsageMetrics(report_id="a", counters={"k8s_api_proxy_request": 1}))


async def test_a_push_reaches_kas_and_its_file_is_read(world: World, tmp_path: Path):
    kas, project = hub_client(world), await world.project("fleet")
    home = tmp_path / "home"
    home.mkdir()
    git = Git(home)
    work = await git.make_work(branch="trunk")
    commit = await git.commit(work, ".gitlab/agents/prod/config.yaml", b"user_access: {}\n")
    async with serving_application(world.app.asgi) as port:
        url = f"http://root:{world.root_token}@127.0.0.1:{port}/root/fleet.git"
        await git("push", "-q", url, "trunk", cwd=work)
        await git("clone", "-q", url, str(home / "clone"))
    head = await kas.repository_head(project)
    assert (head.default_branch, head.commit_id) == ("trunk", commit)
    file = await kas.repository_file(project, commit, ".gitlab/agents/prod/config.yaml", max_bytes=1000)
    assert file == b"user_access: {}\n"
    # The first push named the branch: the database follows the repository.
    assert (await world.root.get(f"/projects/{project}")).json()["default_branch"] == "trunk"


async def test_a_push_needs_the_role_and_the_scope(world: World, tmp_path: Path):
    project = await world.project("fleet")
    home = tmp_path / "home"
    home.mkdir()
    git = Git(home)
    work = await git.make_work()
    reporter = await world.person("mia", "write_repository")
    await world.member(f"/projects/{project}", "mia", 20)
    api_less = await world.token_of("mia", "k8s_proxy")
    async with serving_application(world.app.asgi) as port:
        for token, expected in ((reporter, "403"), (api_less, "Access denied"), ("glpat-x", "Access denied")):
            url = f"http://mia:{token}@127.0.0.1:{port}/root/fleet.git"
            code, said = await git.try_run("push", "-q", url, "main", cwd=work)
            assert code != 0
            assert expected in said
