"""Agents and their tokens over REST: rows 1 to 7 of what interoperability asserts, byte for byte."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.integration.hub.conftest import URL, World, created

pytestmark = pytest.mark.asyncio

NAME_RULE = "Name can contain only lowercase letters, digits, and '-', but cannot start or end with '-'"


async def test_an_agent_is_made_by_path_and_by_number_with_json_and_with_a_form(world: World):
    group = await world.group("ops")
    project = await world.project("fleet", namespace_id=group)
    by_path = await world.root.post("/projects/ops%2Ffleet/cluster_agents", json={"name": "prod"})
    by_form = await world.root.post(f"/projects/{project}/cluster_agents", data={"name": "stage"})
    by_parts = await world.root.post(f"/projects/{project}/cluster_agents", files={"name": (None, "dev")})
    by_query = await world.root.post(f"/projects/{project}/cluster_agents?name=test")
    assert [answer.status_code for answer in (by_path, by_form, by_parts, by_query)] == [201] * 4
    agent = by_path.json()
    assert list(agent) == [
        "id",
        "name",
        "config_project",
        "created_at",
        "created_by_user_id",
        "is_receptive",
    ]
    assert list(agent["config_project"]) == [
        "id",
        "description",
        "name",
        "name_with_namespace",
        "path",
        "path_with_namespace",
        "created_at",
    ]
    assert agent["config_project"]["name_with_namespace"] == "Ops / fleet"
    assert agent["config_project"]["path_with_namespace"] == "ops/fleet"
    assert agent["is_receptive"] is False
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", agent["created_at"])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"name": "prod"}, '{"message":"400 Bad request - [\\"Name has already been taken\\"]"}'),
        ({"name": "Bad_Name"}, f'{{"message":"400 Bad request - [\\"{NAME_RULE}\\"]"}}'),
        ({"name": "../up"}, f'{{"message":"400 Bad request - [\\"{NAME_RULE}\\"]"}}'),
        (
            {"name": "a" * 64},
            '{"message":"400 Bad request - [\\"Name is too long (maximum is 63 characters)\\"]"}',
        ),
        (
            {"name": ""},
            f'{{"message":"400 Bad request - [\\"Name can\'t be blank\\", \\"{NAME_RULE}\\"]"}}',
        ),
        ({}, '{"error":"name is missing"}'),
        ({"name": ["x"]}, '{"error":"name is invalid"}'),
    ],
)
async def test_a_name_that_breaks_a_rule_is_refused_in_gitlabs_words(world: World, body, expected):
    project = await world.project("fleet")
    await world.agent(project)
    answer = await world.root.post(f"/projects/{project}/cluster_agents", json=body)
    assert (answer.status_code, answer.text) == (400, expected)


async def test_a_name_of_63_characters_is_fine(world: World):
    project = await world.project("fleet")
    await world.agent(project, "a" * 63)


@pytest.mark.parametrize("headers", [{}, {"PRIVATE-TOKEN": "glpat-wrong"}, {"JOB-TOKEN": "glcbt-x"}])
async def test_without_a_good_credential_the_answer_is_401(world: World, headers):
    project = await world.project("fleet")
    answer = await world.client(**headers).get(f"/projects/{project}/cluster_agents")
    assert (answer.status_code, answer.text) == (401, '{"message":"401 Unauthorized"}')


async def test_the_three_places_of_a_token_all_work(world: World):
    project = await world.project("fleet")
    path, token = f"/projects/{project}/cluster_agents", world.root_token
    answers = [
        await world.client().get(path, headers={"private-token": token}),
        await world.client().get(path, headers={"Authorization": f"Bearer {token}"}),
        await world.client().get(path, params={"private_token": token}),
        await world.client().post(path, data={"private_token": token, "name": "prod"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 201]
    assert token not in answers[2].headers["link"]


async def test_the_first_credential_counts_even_when_it_is_bad(world: World):
    project = await world.project("fleet")
    answer = await world.root.get(f"/projects/{project}/cluster_agents?private_token=glpat-wrong")
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("level", "method", "path", "status", "text"),
    [
        (20, "GET", "cluster_agents", 404, '{"message":"404 ClusterAgents Not Found"}'),
        (20, "GET", "cluster_agents/1", 404, '{"message":"404 Not found"}'),
        (30, "GET", "cluster_agents/99", 404, '{"message":"404 Not found"}'),
        (30, "GET", "cluster_agents/x", 400, '{"error":"agent_id is invalid"}'),
        (30, "POST", "cluster_agents", 403, '{"message":"403 Forbidden"}'),
        (30, "DELETE", "cluster_agents/1", 403, '{"message":"403 Forbidden"}'),
        (30, "DELETE", "cluster_agents/99", 403, '{"message":"403 Forbidden"}'),
        (30, "POST", "cluster_agents/1/tokens", 403, '{"message":"403 Forbidden"}'),
        (40, "DELETE", "cluster_agents/99", 404, '{"message":"404 Not found"}'),
        (40, "DELETE", "cluster_agents/1/tokens/9", 404, '{"message":"404 Not found"}'),
        (40, "DELETE", "cluster_agents/1", 204, ""),
    ],
)
async def test_each_role_gets_its_answer(world: World, level, method, path, status, text):
    project = await world.project("fleet")
    await world.agent(project)
    mia = world.client(await world.person("mia"))
    await world.member(f"/projects/{project}", "mia", level)
    body = {"name": "x"} if method == "POST" else None
    answer = await mia.request(method, f"/projects/{project}/{path}", json=body)
    assert (answer.status_code, answer.text) == (status, text)


@pytest.mark.parametrize("reference", ["1", "99", "root%2Ffleet", "no%2Fwhere", "root%2Ffleet%2F..", "-1"])
async def test_an_invisible_project_answers_like_an_absent_one(world: World, reference):
    await world.project("fleet")
    mia = world.client(await world.person("mia"))
    answer = await mia.get(f"/projects/{reference}/cluster_agents")
    assert (answer.status_code, answer.text) == (404, '{"message":"404 Project Not Found"}')


async def test_a_token_is_shown_once_and_lists_hide_its_last_use(world: World):
    project = await world.project("fleet")
    path = f"/projects/{project}/cluster_agents/{await world.agent(project)}/tokens"
    new = await created(world.root, path, {"name": "t", "description": "d"})
    assert re.fullmatch(r"glagent-[A-Za-z0-9_-]{50}", new.pop("token"))
    single = (await world.root.get(f"{path}/{new['id']}")).json()
    listed = (await world.root.get(path)).json()
    assert single == new
    assert list(single) == [
        "id",
        "name",
        "description",
        "agent_id",
        "status",
        "created_at",
        "created_by_user_id",
        "last_used_at",
    ]
    del single["last_used_at"]
    assert listed == [single]


async def test_a_third_active_token_waits_for_a_revoked_one(world: World):
    project = await world.project("fleet")
    agent = await world.agent(project)
    first = await world.agent_token(project, agent)
    await world.agent_token(project, agent)
    path = f"/projects/{project}/cluster_agents/{agent}/tokens"
    refused = await world.root.post(path, json={"name": "t"})
    expected = '{"message":"400 Bad request - An agent can have only two active tokens at a time"}'
    assert (refused.status_code, refused.text) == (400, expected)
    for _ in range(2):  # revoking again succeeds again
        revoked = await world.root.delete(f"{path}/{first['id']}")
        assert (revoked.status_code, revoked.content) == (204, b"")
    gone = await world.root.get(f"{path}/{first['id']}")
    assert (gone.status_code, gone.text) == (404, '{"message":"404 Not found"}')
    await world.agent_token(project, agent)
    assert len((await world.root.get(path)).json()) == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, '{"error":"name is missing"}'),
        ({"name": " "}, '{"message":"400 Bad request - [\\"Name can\'t be blank\\"]"}'),
        (
            {"name": "t" * 256},
            '{"message":"400 Bad request - [\\"Name is too long (maximum is 255 characters)\\"]"}',
        ),
    ],
)
async def test_a_token_without_a_usable_name_is_refused(world: World, body, expected):
    project = await world.project("fleet")
    path = f"/projects/{project}/cluster_agents/{await world.agent(project)}/tokens"
    answer = await world.root.post(path, json=body)
    assert (answer.status_code, answer.text) == (400, expected)


async def test_a_list_tells_where_it_is(world: World):
    project = await world.project("fleet")
    for name in ("c", "a", "b"):
        await world.agent(project, name)
    path = f"/projects/{project}/cluster_agents"
    answer = await world.root.get(path, params={"per_page": 2})
    assert [agent["name"] for agent in answer.json()] == ["a", "b"]
    headers = ("x-page", "x-per-page", "x-next-page", "x-prev-page", "x-total", "x-total-pages")
    assert [answer.headers[name] for name in headers] == ["1", "2", "2", "", "3", "2"]
    page = f"{URL}/api/v4{path}?id={project}&page="
    assert answer.headers["link"] == (
        f'<{page}2&per_page=2>; rel="next", <{page}1&per_page=2>; rel="first", '
        f'<{page}2&per_page=2>; rel="last"'
    )
    last = await world.root.get(path, params={"per_page": 2, "page": 2})
    assert [last.headers[name] for name in headers] == ["2", "2", "", "1", "3", "2"]


async def test_following_the_links_ends(world: World):
    project = await world.project("fleet")
    names = [f"agent-{number}" for number in range(5)]
    for name in names:
        await world.agent(project, name)
    found, url = [], f"/projects/{project}/cluster_agents?per_page=2"
    while url:
        answer = await world.root.get(url)
        found += [agent["name"] for agent in answer.json()]
        url = answer.links.get("next", {}).get("url", "").replace(f"{URL}/api/v4", "")
    assert found == names


async def test_a_delete_with_an_old_date_changes_nothing(world: World):
    project = await world.project("fleet")
    path = f"/projects/{project}/cluster_agents/{await world.agent(project)}"
    before = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    refused = await world.root.delete(path, headers={"If-Unmodified-Since": before})
    assert (refused.status_code, refused.text) == (412, '{"message":"412 Precondition Failed"}')
    after = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert (await world.root.delete(path, headers={"If-Unmodified-Since": after})).status_code == 204


async def test_there_is_no_renaming(world: World):
    project = await world.project("fleet")
    path = f"/projects/{project}/cluster_agents/{await world.agent(project)}"
    assert (await world.root.put(path, json={"name": "x"})).status_code == 405


async def test_a_shared_agent_is_seen_by_those_it_is_shared_with(world: World):
    group = await world.group("ops", visibility="public")
    project = await world.project("fleet", namespace_id=group, visibility="public")
    agent, shop = await world.agent(project), await world.project("shop", namespace_id=group)
    mia = world.client(await world.person("mia"))
    await world.member(f"/projects/{shop}", "mia", 30)
    path = f"/projects/{project}/cluster_agents/{agent}"
    assert (await mia.get(path)).status_code == 404
    await world.configure(agent, {"ci_access": {"projects": [{"id": "ops/shop"}]}})
    assert (await mia.get(path)).status_code == 200
