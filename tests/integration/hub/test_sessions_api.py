"""A browser's session: begun over REST, shown to kas, refused in GitLab's words, ended."""

from __future__ import annotations

import pytest

from tests.integration.hub.conftest import World

pytestmark = pytest.mark.asyncio
UNAUTHORIZED = "401 Unauthorized - "


async def begin(world: World, token: str) -> tuple[str, str]:
    """The cookie's value and the CSRF token."""
    answer = await world.client(token).post("/user/kas_session")
    assert answer.status_code == 201, answer.text
    return answer.cookies["_gitlab_kas"], answer.json()["csrf_token"]


async def ask(world: World, agent: int, cookie: str, csrf_token: str | None) -> tuple[int, str]:
    body = {
        "agent_id": agent,
        "access_type": "session_cookie",
        "access_key": cookie,
        "csrf_token": csrf_token,
    }
    answer = await world.kas.post("/internal/kubernetes/authorize_proxy_user", json=body)
    return answer.status_code, next(iter(answer.json().values())) if answer.status_code != 200 else ""


async def shared_agent(world: World) -> tuple[int, str]:
    """An agent that mia may use, and a token of hers."""
    project = await world.project("fleet")
    agent = await world.agent(project)
    token = await world.person("mia", "k8s_proxy")
    await world.member(f"/projects/{project}", "mia", 30)
    await world.configure(agent, {"user_access": {"projects": [{"id": "root/fleet"}]}})
    return agent, token


async def test_the_table_of_refusals(world: World):
    agent, token = await shared_agent(world)
    cookie, csrf_token = await begin(world, token)
    _, others = await begin(world, world.root_token)
    strange = "glkas-" + "a" * 50
    expected = {
        (agent, cookie, csrf_token): (200, ""),
        (agent, "x", csrf_token): (400, "400 Bad request - Invalid access_key"),
        (agent, token, csrf_token): (400, "400 Bad request - Invalid access_key"),
        (agent, "x" * 100_000, csrf_token): (400, "400 Bad request - Invalid access_key"),
        (agent, strange, csrf_token): (401, UNAUTHORIZED + "Invalid session"),
        (agent, cookie, others): (401, UNAUTHORIZED + "CSRF token does not match"),
        (agent, cookie, "\u00fc" * 1000): (401, UNAUTHORIZED + "CSRF token does not match"),
        (agent, cookie, None): (400, "csrf_token is missing"),
        (agent, cookie, " "): (400, "csrf_token is empty"),
        (99, cookie, csrf_token): (404, "404 Not found"),
    }
    assert {asked: await ask(world, *asked) for asked in expected} == expected


async def test_a_session_is_a_person_and_obeys_the_configuration(world: World):
    agent, token = await shared_agent(world)
    cookie, csrf_token = await begin(world, token)
    body = {
        "agent_id": agent,
        "access_type": "session_cookie",
        "access_key": cookie,
        "csrf_token": csrf_token,
    }
    answer = await world.kas.post("/internal/kubernetes/authorize_proxy_user", json=body)
    assert answer.json()["user"] == {"id": world.people["mia"], "username": "mia"}
    assert answer.json()["access_as"] == {"agent": {}}
    await world.configure(agent, {})
    assert (await ask(world, agent, cookie, csrf_token))[0] == 403


@pytest.mark.parametrize("deed", ["sign out", "revoke", "block"])
async def test_a_session_dies_with_what_it_rests_on(world: World, deed):
    agent, token = await shared_agent(world)
    cookie, csrf_token = await begin(world, token)
    match deed:
        case "sign out":
            ended = await world.client(token).delete("/user/kas_session")
            assert (ended.status_code, "Max-Age=0" in ended.headers["set-cookie"]) == (204, True)
        case "revoke":
            await world.client(token).delete("/personal_access_tokens/self")
        case "block":
            await world.root.post(f"/users/{world.people['mia']}/block")
    status, text = await ask(world, agent, cookie, csrf_token)
    wrong = "Invalid user in session" if deed == "block" else "Invalid session"
    assert (status, text) == (401, UNAUTHORIZED + wrong)


@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        (("api",), 201),
        (("k8s_proxy",), 201),
        (("read_api",), 403),
        (("read_user", "read_repository", "write_repository", "self_rotate"), 403),
    ],
)
async def test_only_a_token_that_reaches_the_proxy_begins_a_session(world: World, scopes, status):
    client = world.client(await world.person("mia", *scopes))
    answer = await client.post("/user/kas_session")
    assert (answer.status_code, "set-cookie" in answer.headers) == (status, status == 201)


async def test_nobody_and_no_job_begins_a_session(world: World):
    project = await world.project("fleet")
    made = await world.root.post(f"/projects/{project}/job_tokens", json={"ref": "refs/heads/main"})
    token = made.json()["token"]
    for headers in ({}, {"JOB-TOKEN": token}, {"PRIVATE-TOKEN": token}):
        for method in ("POST", "DELETE"):
            answer = await world.client(**headers).request(method, "/user/kas_session")
            assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)


async def test_the_cookie_opens_no_route_of_the_hub(world: World):
    _, token = await shared_agent(world)
    cookie, csrf_token = await begin(world, token)
    headers = {"Cookie": f"_gitlab_kas={cookie}", "X-CSRF-Token": csrf_token}
    assert (await world.client(**headers).get("/user")).status_code == 401
    assert (await world.client(cookie).get("/user")).status_code == 401
