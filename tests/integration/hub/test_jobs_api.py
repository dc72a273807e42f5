"""CI jobs over REST: making a token, what it shows, and who may not."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest

from tests.integration.hub.conftest import World, created

pytestmark = pytest.mark.asyncio

UNAUTHORIZED = (401, '{"message":"401 Unauthorized"}')
PATHS = ("/job", "/job/allowed_agents")


async def job_token(world: World, project: int, ref: str = "refs/heads/main", **more: Any) -> dict[str, Any]:
    return await created(world.root, f"/projects/{project}/job_tokens", {"ref": ref, **more})


def job(world: World, made: dict[str, Any], header: str = "JOB-TOKEN") -> httpx2.AsyncClient:
    return world.client(**{header: made["token"]})


async def allowed(world: World, made: dict[str, Any]) -> dict[str, Any]:
    answer = await job(world, made).get("/job/allowed_agents")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_whole_answer_has_gitlabs_shape(world: World):
    ops = await world.group("ops")
    apps = await world.group("apps", parent_id=ops)
    fleet = await world.project("fleet", namespace_id=ops)
    shop = await world.project("shop", namespace_id=apps)
    agent, other = await world.agent(fleet), await world.agent(fleet, "stage")
    await world.person("mia")
    await world.member(f"/projects/{shop}", "mia", 40)
    entry = {"id": "ops/apps", "default_namespace": "shop", "access_as": {"ci_job": {}}}
    await world.configure(agent, {"ci_access": {"groups": [entry]}})
    await world.configure(other, {"ci_access": {"groups": [{"id": "ops", "environments": ["staging"]}]}})
    more = {"environment": "production", "pipeline_id": 800, "user_id": world.people["mia"]}
    made = await job_token(world, shop, **more)
    document = await allowed(world, made)
    assert list(document) == [
        "allowed_agents",
        "job",
        "pipeline",
        "project",
        "user",
        "environment",
        "refused_agents",
    ]
    [found] = document["allowed_agents"]
    assert list(found) == ["id", "config_project", "configuration", "basis"]
    assert list(found["config_project"]) == [
        "id",
        "description",
        "name",
        "name_with_namespace",
        "path",
        "path_with_namespace",
        "created_at",
    ]
    assert (found["id"], found["config_project"]["id"]) == (agent, fleet)
    assert found["configuration"] == {"default_namespace": "shop", "access_as": {"ci_job": {}}}
    file = ".gitlab/agents/prod/config.yaml"
    assert found["basis"] == {
        "project_path": "ops/fleet",
        "file": file,
        "entry": "ci_access.groups[0]",
        "line": 0,
    }
    assert document["job"] == {"id": made["id"]}
    assert document["pipeline"] == {"id": 800}
    assert document["project"] == {"id": shop, "groups": [{"id": apps}, {"id": ops}]}
    assert document["user"] == {
        "id": world.people["mia"],
        "username": "mia",
        "roles_in_project": ["guest", "reporter", "developer", "maintainer"],
    }
    assert document["environment"] == {"tier": "production", "slug": "production"}
    [refused] = document["refused_agents"]
    assert refused["id"] == other
    assert refused["reason"].startswith("the job's environment production matches none of staging")


async def test_without_an_environment_and_a_group_their_keys_say_so(world: World):
    project = await world.project("fleet")
    await world.agent(project)
    document = await allowed(world, await job_token(world, project))
    assert list(document) == ["allowed_agents", "job", "pipeline", "project", "user"]
    assert document["project"] == {"id": project, "groups": []}
    assert document["allowed_agents"][0]["configuration"] == {}
    assert document["allowed_agents"][0]["basis"]["entry"] == "implicit"


async def test_a_job_sees_itself_with_gitlabs_keys(world: World):
    made = await job_token(world, await world.project("fleet"))
    answer = await job(world, made).get("/job")
    document = answer.json()
    assert list(document) == [
        "id",
        "status",
        "stage",
        "name",
        "ref",
        "tag",
        "coverage",
        "allow_failure",
        "created_at",
        "started_at",
        "finished_at",
        "erased_at",
        "duration",
        "queued_duration",
        "user",
        "commit",
        "pipeline",
        "web_url",
        "project",
        "artifacts",
        "runner",
        "runner_manager",
        "artifacts_expire_at",
        "archived",
        "tag_list",
    ]
    assert (document["id"], document["status"], document["ref"]) == (made["id"], "running", "main")
    assert document["user"]["username"] == "root"


@pytest.mark.parametrize("path", PATHS)
async def test_the_token_is_taken_from_where_gitlab_takes_it(world: World, path):
    made = await job_token(world, await world.project("fleet"))
    answers = [
        await job(world, made, "JOB-TOKEN").get(path),
        await job(world, made, "Job-Token").get(path),
        await world.client().get(path, params={"job_token": made["token"]}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 3


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"JOB-TOKEN": "glcbt-wrong"},
        {"JOB-TOKEN": "x" * 30_000},
        {"JOB-TOKEN": ""},
        {"PRIVATE-TOKEN": "glpat-wrong"},
        {"Deploy-Token": "gldt-x"},
    ],
)
async def test_without_a_good_token_the_answer_is_401(world: World, path, headers):
    answer = await world.client(**headers).get(path)
    assert (answer.status_code, answer.text) == UNAUTHORIZED


@pytest.mark.parametrize("path", PATHS)
async def test_a_person_is_no_job(world: World, path):
    reader = world.client(await world.person("mia", "k8s_proxy"))
    for client in (world.root, reader):
        answer = await client.get(path)
        assert (answer.status_code, answer.text) == (404, '{"message":"404 Job Not Found"}')


async def test_a_job_token_opens_nothing_else(world: World):
    project = await world.project("fleet")
    made = await job_token(world, project)
    for path in ("/user", f"/projects/{project}", f"/projects/{project}/cluster_agents"):
        for headers in ({"JOB-TOKEN": made["token"]}, {"PRIVATE-TOKEN": made["token"]}):
            assert (await world.client(**headers).get(path)).status_code in {401, 404}
    body = {"agent_id": 1, "access_type": "personal_access_token", "access_key": made["token"]}
    answer = await world.kas.post("/internal/kubernetes/authorize_proxy_user", json=body)
    assert answer.status_code == 400


async def test_a_finished_jobs_token_is_dead_at_once(world: World):
    project = await world.project("fleet")
    made = await job_token(world, project)
    path = f"/projects/{project}/job_tokens/{made['id']}"
    for _ in range(2):  # ending again succeeds again
        answer = await world.root.delete(path)
        assert (answer.status_code, answer.content) == (204, b"")
    for asked in PATHS:
        answer = await job(world, made).get(asked)
        assert (answer.status_code, answer.text) == UNAUTHORIZED
    shown = (await world.root.get(path)).json()
    assert (shown["status"], shown["finished_at"] is None) == ("finished", False)


async def test_a_token_is_shown_once(world: World):
    project = await world.project("fleet")
    made = await job_token(world, project, environment="review/x", tier="testing")
    token = made.pop("token")
    assert re.fullmatch(r"glcbt-[A-Za-z0-9_-]{50}", token)
    del made["agents"]
    path = f"/projects/{project}/job_tokens"
    single, listed = await world.root.get(f"{path}/{made['id']}"), await world.root.get(path)
    assert (single.json(), listed.json()) == (made, [made])
    assert made["environment"]["tier"] == "testing"
    assert token not in single.text + listed.text


async def test_whether_a_ref_is_protected_is_not_the_clients_to_say(world: World):
    project = await world.project("fleet")
    agent = await world.agent(project)
    entry = {"id": "root/fleet", "protected_branches_only": True}
    await world.configure(agent, {"ci_access": {"projects": [entry]}})
    topic = await job_token(world, project, "refs/heads/topic", protected=True)
    assert topic["protected"] is False
    document = await allowed(world, topic)
    assert document["allowed_agents"] == []
    assert "is no protected branch" in document["refused_agents"][0]["reason"]
    main = await job_token(world, project)
    assert [one["id"] for one in (await allowed(world, main))["allowed_agents"]] == [agent]


async def test_a_shares_end_counts_at_once(world: World):
    ops = await world.group("ops")
    fleet, shop = (
        await world.project("fleet", namespace_id=ops),
        await world.project("shop", namespace_id=ops),
    )
    agent = await world.agent(fleet)
    made = await job_token(world, shop)
    counts = []
    for configuration in ({}, {"ci_access": {"projects": [{"id": "ops/shop"}]}}, {}):
        await world.configure(agent, configuration)
        counts.append(len((await allowed(world, made))["allowed_agents"]))
    assert counts == [0, 1, 0]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, '{"error":"ref is missing"}'),
        (
            {"ref": "main"},
            '{"message":"400 Bad request - [\\"Ref must be the full name of a branch or tag, such as refs/heads/main\\"]"}',
        ),
        ({"ref": "refs/heads/x", "tier": "prod"}, '{"error":"tier does not have a valid value"}'),
        ({"ref": "refs/heads/x", "expires_in": "1h"}, '{"error":"expires_in is invalid"}'),
    ],
)
async def test_what_makes_no_sense_is_400(world: World, body, text):
    project = await world.project("fleet")
    answer = await world.root.post(f"/projects/{project}/job_tokens", json=body)
    assert (answer.status_code, answer.text) == (400, text)


@pytest.mark.parametrize("seconds", [0, -1, 59, 86_401, 2**62])
async def test_a_token_lives_neither_shorter_nor_longer_than_a_job(world: World, seconds):
    project = await world.project("fleet")
    body = {"ref": "refs/heads/x", "expires_in": seconds}
    answer = await world.root.post(f"/projects/{project}/job_tokens", json=body)
    assert (answer.status_code, "Expires in must be from 60 to 86400 seconds" in answer.text) == (400, True)


NOT_FOUND, FORBIDDEN = '{"message":"404 Project Not Found"}', '{"message":"403 Forbidden"}'
# role in the project (None: not a member) → what each operation answers
OPERATIONS = {
    "list jobs": ("GET", "job_tokens", None),
    "get a job": ("GET", "job_tokens/1", None),
    "get an absent job": ("GET", "job_tokens/99", None),
    "make a token": ("POST", "job_tokens", {"ref": "refs/heads/topic"}),
    "make a token on a protected branch": ("POST", "job_tokens", {"ref": "refs/heads/main"}),
    "make a token for somebody else": ("POST", "job_tokens", {"ref": "refs/heads/topic", "user_id": 1}),
    "finish another's job": ("DELETE", "job_tokens/1", None),
    "finish an absent job": ("DELETE", "job_tokens/99", None),
    "list protected branches": ("GET", "protected_branches", None),
    "get a protected branch": ("GET", "protected_branches/main", None),
    "get an absent one": ("GET", "protected_branches/no", None),
    "protect a branch": ("POST", "protected_branches", {"name": "release/*"}),
    "unprotect a branch": ("DELETE", "protected_branches/main", None),
}
ANSWERS = {
    #                                      none, 10, 20, 30, 40, 50
    "list jobs": (404, 403, 403, 200, 200, 200),
    "get a job": (404, 403, 403, 200, 200, 200),
    "get an absent job": (404, 403, 403, 404, 404, 404),
    "make a token": (404, 403, 403, 201, 201, 201),
    "make a token on a protected branch": (404, 403, 403, 403, 201, 201),
    "make a token for somebody else": (404, 403, 403, 403, 403, 403),
    "finish another's job": (404, 403, 403, 403, 204, 204),
    "finish an absent job": (404, 403, 403, 404, 404, 404),
    "list protected branches": (404, 403, 403, 200, 200, 200),
    "get a protected branch": (404, 403, 403, 200, 200, 200),
    "get an absent one": (404, 403, 403, 404, 404, 404),
    "protect a branch": (404, 403, 403, 403, 201, 201),
    "unprotect a branch": (404, 403, 403, 403, 204, 204),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("column", "level"), list(enumerate([None, 10, 20, 30, 40, 50])))
async def test_each_role_gets_its_answer(world: World, operation, column, level):
    project = await world.project("fleet")
    await job_token(world, project)
    mia = world.client(await world.person("mia"))
    if level is not None:
        await world.member(f"/projects/{project}", "mia", level)
    method, path, body = OPERATIONS[operation]
    answer = await mia.request(method, f"/projects/{project}/{path}", json=body)
    assert answer.status_code == ANSWERS[operation][column], answer.text
    if level is None:
        assert answer.text == NOT_FOUND  # as for a project that is not there
    elif level < 30:
        assert answer.text.startswith('{"message":"403 Forbidden')


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_what_is_not_there_answers_like_what_is_hidden(world: World, operation):
    mia = world.client(await world.person("mia"))
    method, path, body = OPERATIONS[operation]
    answer = await mia.request(method, f"/projects/99/{path}", json=body)
    assert (answer.status_code, answer.text) == (404, NOT_FOUND)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_reading_scopes_change_nothing_and_nobody_is_nobody(world: World, operation):
    project = await world.project("fleet")
    await job_token(world, project)
    method, path, body = OPERATIONS[operation]
    url = f"/projects/{project}/{path}"
    reader = world.client(await world.person("mia", "read_api"))
    await world.member(f"/projects/{project}", "mia", 50)
    if method != "GET":
        assert (await reader.request(method, url, json=body)).status_code == 403
    answer = await world.client().request(method, url, json=body)
    assert (answer.status_code, answer.text) == UNAUTHORIZED


async def test_a_rule_with_a_slash_and_a_star_has_an_address(world: World):
    project = await world.project("fleet")
    path = f"/projects/{project}/protected_branches"
    rule = await created(world.root, path, {"name": "release/*", "push_access_level": 30})
    assert (await world.root.get(f"{path}/release%2F%2A")).json() == rule
    again = await world.root.post(path, json={"name": "release/*"})
    expected = '{"message":"Protected branch \'release/*\' already exists"}'
    assert (again.status_code, again.text) == (409, expected)
    level = await world.root.post(path, json={"name": "x", "push_access_level": 50})
    assert (level.status_code, level.json()["error"]) == (
        400,
        "push_access_level does not have a valid value",
    )
    assert (await world.root.delete(f"{path}/release%2F*")).status_code == 204
    assert [one["name"] for one in (await world.root.get(path)).json()] == ["main"]
