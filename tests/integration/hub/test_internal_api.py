"""What kas asks: rows 12 to 15 and 17 of what interoperability asserts, byte for byte."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from tests.integration.hub.conftest import KAS_KEY, World, kas_jwt

pytestmark = pytest.mark.asyncio

ROUTES = [
    ("GET", "/internal/kubernetes/agent_info"),
    ("GET", "/internal/agents/agentk/agent_info"),
    ("GET", "/internal/kubernetes/project_info?id=1"),
    ("GET", "/internal/kubernetes/verify_project_access?id=1"),
    ("POST", "/internal/kubernetes/agent_configuration"),
    ("POST", "/internal/kubernetes/authorize_proxy_user"),
    ("POST", "/internal/kubernetes/usage_metrics"),
    ("GET", "/internal/kubernetes/repository_head?project_id=1"),
    ("GET", "/internal/kubernetes/repository_ref?project_id=1"),
    ("GET", "/internal/kubernetes/repository_tree?project_id=1&commit_id=a"),
    ("GET", "/internal/kubernetes/repository_file?project_id=1&commit_id=a&path=p&max_bytes=1"),
]
NOT_KAS = '{"message":"KAS JWT authentication invalid"}'


def signed(key: bytes = KAS_KEY, algorithm: str = "HS256", **claims: Any) -> str:
    now = int(time.time())
    whole = {"iss": "gitlab-kas", "aud": "gitlab", "exp": now + 5, **claims}
    return jwt.encode({"alg": algorithm}, whole, OctKey.import_key(key), algorithms=[algorithm])


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_no_route_opens_without_kas(world: World, method, path):
    answer = await world.root.request(method, path, json={} if method == "POST" else None)
    assert (answer.status_code, answer.text) == (401, NOT_KAS)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x.y.z",
        "a" * 1_000_000,
        signed(key=b"k" * 32),
        signed(algorithm="HS512", key=KAS_KEY * 2),
        "eyJhbGciOiJub25lIn0.eyJpc3MiOiJnaXRsYWIta2FzIiwiYXVkIjoiZ2l0bGFiIiwiZXhwIjo5OTk5OTk5OTk5fQ.",
        signed(iss="somebody"),
        signed(aud="gitlab-kas"),
        signed(exp=int(time.time()) - 60),
        kas_jwt(exp=None),
        kas_jwt(iss=None),
        kas_jwt(aud=None),
        signed(nbf=int(time.time()) + 60),
    ],
)
async def test_a_jwt_that_is_not_kas_is_refused(world: World, token):
    client = world.client(**{"Gitlab-Kas-Api-Request": token})
    answer = await client.post("/internal/kubernetes/usage_metrics", json={})
    assert (answer.status_code, answer.text) == (401, NOT_KAS)


@pytest.mark.parametrize("path", ["/internal/kubernetes/agent_info", "/internal/agents/agentk/agent_info"])
@pytest.mark.parametrize("header", ["Authorization", "Gitlab-Agentk-Api-Request", "Gitlab-Agent-Api-Request"])
async def test_an_agent_is_known_by_its_token(world: World, path, header):
    group = await world.group("ops")
    project = await world.project("fleet", namespace_id=group)
    agent = await world.agent(project, "prod-eu")
    token = (await world.agent_token(project, agent))["token"]
    value = f"Bearer {token}" if header == "Authorization" else token
    answer = await world.kas.get(path, headers={header: value})
    document = answer.json()
    digest = document["gitaly_repository"].pop("relative_path")
    assert digest.startswith("@hashed/6b/86/6b86b273ff34fce19d6b804eff5a3f57")  # SHA-256 of "1"
    assert document == {
        "project_id": project,
        "agent_id": agent,
        "agent_name": "prod-eu",
        "gitaly_info": {"address": "", "token": "", "features": {}},
        "gitaly_repository": {
            "storage_name": "default",
            "git_object_directory": "",
            "git_alternate_object_directories": [],
            "gl_repository": "project-1",
            "gl_project_path": "ops/fleet",
        },
        "default_branch": "main",
    }


async def test_a_revoked_missing_or_wrong_agent_token_is_401(world: World):
    project = await world.project("fleet")
    agent = await world.agent(project)
    token = await world.agent_token(project, agent)
    path = "/internal/kubernetes/agent_info"
    await world.root.delete(f"/projects/{project}/cluster_agents/{agent}/tokens/{token['id']}")
    tokens = (token["token"], "glagent-wrong", world.root_token, "x" * 100_000)
    answers = [await world.kas.get(path), *[await world.kas_for(one).get(path) for one in tokens]]
    expected = (401, '{"message":"401 Unauthorized"}')
    assert [(answer.status_code, answer.text) for answer in answers] == [expected] * 5


async def test_an_agent_token_is_useless_on_the_public_api(world: World):
    project = await world.project("fleet")
    token = (await world.agent_token(project, await world.agent(project)))["token"]
    assert (await world.client(token).get("/user")).status_code == 401


async def test_a_call_of_kas_moves_the_last_use(world: World):
    project = await world.project("fleet")
    agent = await world.agent(project)
    token = await world.agent_token(project, agent)
    await world.kas_for(token["token"]).get("/internal/kubernetes/agent_info")
    path = f"/projects/{project}/cluster_agents/{agent}/tokens/{token['id']}"
    first = (await world.root.get(path)).json()["last_used_at"]
    await world.kas_for(token["token"]).get("/internal/kubernetes/agent_info")
    assert first is not None
    assert (await world.root.get(path)).json()["last_used_at"] > first


async def test_project_info_hides_what_is_not_the_agents(world: World):
    group = await world.group("ops", visibility="public")
    own = await world.project("fleet", namespace_id=group)
    private = await world.project("private", namespace_id=group)
    public = await world.project("open", namespace_id=group, visibility="public")
    kas = world.kas_for((await world.agent_token(own, await world.agent(own)))["token"])
    statuses = {}
    for route in ("project_info", "verify_project_access"):
        for name in (str(own), "ops%2Ffleet", str(public), str(private), "ops%2Fprivate", "99", "no%2Fwhere"):
            answer = await kas.get(f"/internal/kubernetes/{route}?id={name}")
            statuses.setdefault(route, []).append(answer.status_code)
    assert statuses["project_info"] == [200, 200, 200, 404, 404, 404, 404]
    assert statuses["verify_project_access"] == [204, 204, 204, 404, 404, 404, 404]
    hidden = await kas.get(f"/internal/kubernetes/project_info?id={private}")
    assert hidden.text == '{"message":"404 Not Found"}'
    shown = (await kas.get(f"/internal/kubernetes/project_info?id={public}")).json()
    assert list(shown) == ["project_id", "gitaly_info", "gitaly_repository", "default_branch"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "starboard_vulnerability"),
        ("POST", "starboard_vulnerability/scan_result"),
        ("GET", "starboard_vulnerability/policies_configuration"),
        ("POST", "remote_development/reconcile"),
        ("GET", "..%2f..%2fagent_info"),
        ("GET", ""),
    ],
)
async def test_modules_that_are_not_ours_are_not_found(world: World, method, path):
    project = await world.project("fleet")
    kas = world.kas_for((await world.agent_token(project, await world.agent(project)))["token"])
    answer = await kas.request(method, f"/internal/kubernetes/modules/{path}")
    assert (answer.status_code, answer.text) == (404, '{"error":"404 Not Found"}')


async def test_project_access_needs_a_good_token(world: World):
    await world.project("fleet", visibility="public")
    for route in ("project_info", "verify_project_access"):
        answer = await world.kas_for("glagent-wrong").get(f"/internal/kubernetes/{route}?id=1")
        assert (answer.status_code, answer.text) == (401, '{"message":"401 Unauthorized"}')


async def proxy(world: World, agent: int, key: str) -> tuple[int, str]:
    body = {"agent_id": agent, "access_type": "personal_access_token", "access_key": key}
    answer = await world.kas.post("/internal/kubernetes/authorize_proxy_user", json=body)
    return answer.status_code, answer.text


async def test_the_configuration_decides_as_whom_a_person_acts(world: World):
    group = await world.group("ops")
    project = await world.project("fleet", namespace_id=group)
    agent = await world.agent(project)
    key = await world.person("mia", "k8s_proxy")
    await world.member(f"/projects/{project}", "mia", 30)
    await world.member("/groups/ops", "mia", 40)
    shares = {"projects": [{"id": "Ops/Fleet"}], "groups": [{"id": "ops"}]}
    head = (
        f'{{"agent":{{"id":{agent},"config_project":{{"id":{project}}}}},"user":{{"id":2,"username":"mia"}},'
    )
    basis = (
        '"basis":{"project_path":"ops/fleet","file":".gitlab/agents/prod/config.yaml",'
        '"entry":"user_access.projects[0]","line":0}}'
    )
    await world.configure(agent, {"user_access": {"access_as": {"agent": {}}, **shares}})
    assert await proxy(world, agent, key) == (200, f'{head}"access_as":{{"agent":{{}}}},{basis}')
    await world.configure(agent, {"user_access": shares})  # since 18.3 a missing access_as means agent
    assert await proxy(world, agent, key) == (200, f'{head}"access_as":{{"agent":{{}}}},{basis}')
    await world.configure(agent, {"user_access": {"access_as": {"user": {}}, **shares}})
    roles = '"roles":["guest","reporter","developer","maintainer"]'
    shares_text = f'{{"projects":[{{"id":{project},{roles}}}],"groups":[{{"id":{group},{roles}}}]}}'
    assert await proxy(world, agent, key) == (200, f'{head}"access_as":{{"user":{shares_text}}},{basis}')


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ({}, "`user_access` keyword is not found in agent config file."),
        (
            {"user_access": {"access_as": {"agent": {}, "user": {}}, "projects": [{"id": "root/fleet"}]}},
            "`access_as` must exist only once under the `user_access` keyword.",
        ),
        (
            {"user_access": {"access_as": {"agent": {}}, "projects": [{"id": "root/other"}]}},
            "You must be a member of `projects` or `groups` under the `user_access` keyword.",
        ),
        (
            {"user_access": {"access_as": {"king": {}}, "projects": [{"id": "root/fleet"}]}},
            "403 Forbidden",
        ),
    ],
)
async def test_what_the_configuration_does_not_grant_is_403(world: World, configuration, message):
    project = await world.project("fleet")
    await world.project("other")
    agent = await world.agent(project)
    key = await world.person("mia", "k8s_proxy")
    await world.member(f"/projects/{project}", "mia", 30)
    await world.configure(agent, configuration)
    status, text = await proxy(world, agent, key)
    answer = json.loads(text)
    assert (status, answer["message"]) == (403, message)
    assert ".gitlab/agents/prod/config.yaml of root/fleet" in answer["reason"]  # mia knows the agent


@pytest.mark.parametrize("level", [None, 10, 15])
@pytest.mark.parametrize("user_access", [None, {"projects": [{"id": "root/fleet"}]}, {"access_as": {}}])
async def test_a_stranger_hears_no_reason(world: World, level, user_access):
    project = await world.project("fleet")
    agent = await world.agent(project)
    key, lacking = await world.person("mia", "k8s_proxy"), await world.token_of("mia", "api")
    if level is not None:
        await world.member(f"/projects/{project}", "mia", level)
    await world.configure(agent, {} if user_access is None else {"user_access": user_access})
    status, text = await proxy(world, agent, key)
    assert (status, list(json.loads(text))) == (403, ["message"])
    scope = [await proxy(world, asked, lacking) for asked in (agent, 99)]
    assert scope[0] == scope[1]
    assert "reason" not in scope[0][1]


async def test_who_knows_the_agent_hears_what_is_missing(world: World):
    group = await world.group("ops")
    project = await world.project("fleet", namespace_id=group)
    agent = await world.agent(project)
    key, lacking = await world.person("mia", "k8s_proxy"), await world.token_of("mia", "api")
    await world.member("/groups/ops", "mia", 20)
    body = {
        "agent_id": agent,
        "agent_config": {"user_access": {"groups": [{"id": "ops"}]}},
        "agent_config_lines": {"user_access.groups[0]": 9, "x": "y", "user_access": True},
        "commit_id": "c" * 40,
    }
    answer = await world.kas.post("/internal/kubernetes/agent_configuration", json=body)
    assert answer.status_code == 204
    where = "user_access.groups[0] in line 9 of .gitlab/agents/prod/config.yaml of ops/fleet"
    reasons = [json.loads((await proxy(world, agent, one))[1])["reason"] for one in (key, lacking)]
    assert reasons == [
        f"the role developer is needed: you are reporter in ops ({where})",
        "the token lacks the scope k8s_proxy",
    ]


@pytest.mark.parametrize(
    ("lines", "commit_id", "status"),
    [(None, None, 204), ([], "", 204), ({"a": -1, "b": 2**40, "c": {}}, "c", 204), ({}, "c" * 65, 400)],
)
async def test_lines_that_make_no_sense_do_no_harm(world: World, lines, commit_id, status):
    agent = await world.agent(await world.project("fleet"))
    body = {"agent_id": agent, "agent_config": {}, "agent_config_lines": lines, "commit_id": commit_id}
    answer = await world.kas.post("/internal/kubernetes/agent_configuration", json=body)
    assert answer.status_code == status, answer.text


async def test_a_reporter_is_no_developer(world: World):
    project = await world.project("fleet")
    agent = await world.agent(project)
    key = await world.person("mia", "k8s_proxy")
    await world.member(f"/projects/{project}", "mia", 20)
    await world.configure(agent, {"user_access": {"projects": [{"id": "root/fleet"}]}})
    assert (await proxy(world, agent, key))[0] == 403


async def test_a_bad_token_is_told_apart(world: World):
    project = await world.project("fleet")
    agent = await world.agent(project)
    api_only = await world.person("mia", "api")
    revoked = await world.token_of("mia", "k8s_proxy")
    await world.client(revoked).delete("/personal_access_tokens/self")
    unknown = '{"message":"400 Bad request - Unable to get user from request data"}'
    assert await proxy(world, agent, "glpat-unknown") == (400, unknown)
    assert await proxy(world, agent, "x" * 100_000) == (400, unknown)
    status, text = await proxy(world, agent, api_only)
    assert (status, '"scope":"k8s_proxy"' in text) == (403, True)
    status, text = await proxy(world, agent, revoked)
    assert (status, "Token was revoked." in text) == (401, True)


async def test_an_unknown_agent_is_404_for_a_good_token(world: World):
    key = await world.person("mia", "k8s_proxy")
    assert await proxy(world, 99, key) == (404, '{"message":"404 Not found"}')


async def test_a_blocked_person_gets_no_further(world: World):
    project = await world.project("fleet")
    agent = await world.agent(project)
    key = await world.person("mia", "k8s_proxy")
    await world.member(f"/projects/{project}", "mia", 30)
    await world.configure(agent, {"user_access": {"projects": [{"id": "root/fleet"}]}})
    assert (await proxy(world, agent, key))[0] == 200
    await world.root.post(f"/users/{world.people['mia']}/block")
    assert await proxy(world, agent, key) == (403, '{"message":"403 Forbidden"}')


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, '{"error":"agent_id is missing, access_type is missing, access_key is missing"}'),
        (
            {"agent_id": 1, "access_type": "magic", "access_key": "x"},
            '{"error":"access_type does not have a valid value"}',
        ),
        (
            {"agent_id": 1, "access_type": "session_cookie", "access_key": "x", "csrf_token": "y"},
            '{"message":"400 Bad request - Invalid access_key"}',
        ),
    ],
)
async def test_a_question_that_makes_no_sense_is_400(world: World, body, text):
    answer = await world.kas.post("/internal/kubernetes/authorize_proxy_user", json=body)
    assert (answer.status_code, answer.text) == (400, text)


async def test_a_configuration_replaces_the_one_before(world: World):
    group = await world.group("ops")
    project = await world.project("fleet", namespace_id=group)
    await world.project("shop", namespace_id=group)
    agent = await world.agent(project)
    key = await world.person("mia", "k8s_proxy")
    await world.member("/groups/ops", "mia", 30)
    for listed, expected in ((["ops/shop"], 200), (["no/where"], 403), (["no/where", "ops/shop"], 200)):
        shares = [{"id": path} for path in listed]
        await world.configure(agent, {"user_access": {"projects": shares}})
        assert (await proxy(world, agent, key))[0] == expected


async def test_only_the_first_500_of_a_list_count(world: World):
    project = await world.project("fleet")
    agent = await world.agent(project)
    key = await world.person("mia", "k8s_proxy")
    await world.member(f"/projects/{project}", "mia", 30)
    for before, expected in ((499, 200), (500, 403)):
        listed = [*({"id": f"no/where{number}"} for number in range(before)), {"id": "root/fleet"}]
        await world.configure(agent, {"user_access": {"projects": listed}})
        assert (await proxy(world, agent, key))[0] == expected


async def test_sharing_stops_at_the_border_of_the_top_level_group(world: World):
    project = await world.project("fleet")
    elsewhere = await world.group("elsewhere")
    shop = await world.project("shop", namespace_id=elsewhere)
    agent = await world.agent(project)
    key = await world.person("mia", "k8s_proxy")
    await world.member(f"/projects/{shop}", "mia", 50)
    await world.configure(agent, {"user_access": {"projects": [{"id": "elsewhere/shop"}]}})
    assert (await proxy(world, agent, key))[0] == 403


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"agent_id": "1", "agent_config": {}}, 204, ""),
        ({"agent_id": "99", "agent_config": {}}, 404, '{"message":"404 Not found"}'),
        ({}, 400, '{"error":"agent_id is missing, agent_config is missing"}'),
        ({"agent_id": "1", "agent_config": []}, 400, '{"error":"agent_config is invalid"}'),
        ({"agent_id": "one", "agent_config": {}}, 400, '{"error":"agent_id is invalid"}'),
        ({"agent_id": 1, "agent_config": {"user_access": 7, "ci_access": {"projects": [3, {}]}}}, 204, ""),
    ],
)
async def test_a_configuration_is_taken_or_refused(world: World, body, status, text):
    await world.agent(await world.project("fleet"))
    answer = await world.kas.post("/internal/kubernetes/agent_configuration", json=body)
    assert (answer.status_code, answer.text) == (status, text)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 204),
        ({"counters": {"k8s_api_proxy_request": 3, "unknown": -1}}, 204),
        ({"unique_counters": {"flux_git_push_notified_unique_projects": [1, 2, 2]}}, 204),
        ({"counters": {"k8s_api_proxy_request": -1}}, 400),
        ({"counters": [1]}, 400),
        ({"unique_counters": {"flux_git_push_notified_unique_projects": ["x"]}}, 400),
    ],
)
async def test_usage_is_counted_or_refused(world: World, body, status):
    answer = await world.kas.post("/internal/kubernetes/usage_metrics", json=body)
    assert answer.status_code == status
