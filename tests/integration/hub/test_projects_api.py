"""Groups, projects and members over REST."""

from __future__ import annotations

import pytest

from tests.integration.hub.conftest import URL, World, created

pytestmark = pytest.mark.asyncio


async def test_a_project_shows_what_clients_read(world: World):
    group = await world.group("ops")
    await world.project("fleet", namespace_id=group)
    project = (await world.root.get("/projects/OPS%2Ffleet")).json()
    assert project["path_with_namespace"] == "ops/fleet"
    assert project["default_branch"] == "main"
    assert project["http_url_to_repo"] == f"{URL}/ops/fleet.git"
    assert project["namespace"]["full_path"] == "ops"
    assert project["permissions"] == {
        "project_access": None,
        "group_access": {"access_level": 50, "notification_level": 3},
    }


async def test_a_project_of_ones_own_needs_a_name_only(world: World):
    mia = world.client(await world.person("mia"))
    project = await created(mia, "/projects", {"name": "My App!"})
    assert (project["path"], project["path_with_namespace"]) == ("my-app", "mia/my-app")
    assert project["permissions"]["project_access"]["access_level"] == 50


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": "fleet"}, {"name", "path"}),
        ({"name": "x", "path": "../etc"}, {"path"}),
        ({"name": "x", "path": "a..b"}, {"path"}),
        ({"name": "x", "path": "end.git"}, {"path"}),
        ({"name": "x", "path": "p" * 256}, {"path"}),
        ({"name": "", "path": "x"}, {"name"}),
        ({"name": "x", "namespace_id": 99}, {"namespace"}),
        ({"name": "x", "default_branch": "a..b"}, {"default_branch"}),
    ],
)
async def test_a_project_that_breaks_a_rule_is_refused_by_field(world: World, body, fields):
    await world.project("fleet")
    answer = await world.root.post("/projects", json=body)
    assert answer.status_code == 400
    assert set(answer.json()["message"]) == fields


async def test_a_project_without_name_and_path_is_refused(world: World):
    answer = await world.root.post("/projects", json={})
    expected = '{"error":"name, path are missing, at least one parameter must be provided"}'
    assert (answer.status_code, answer.text) == (400, expected)


async def test_a_group_may_not_take_a_projects_path(world: World):
    group = await world.group("ops")
    await world.project("fleet", namespace_id=group)
    body = {"name": "x", "path": "Fleet", "parent_id": group}
    answer = await world.root.post("/groups", json=body)
    expected = '{"message":"Failed to save group {:path=>[\\"has already been taken\\"]}"}'
    assert (answer.status_code, answer.text) == (400, expected)


async def test_roles_are_inherited_from_groups_above(world: World):
    top = await world.group("ops")
    inner = await world.group("inner", parent_id=top)
    project = await world.project("fleet", namespace_id=inner)
    mia = world.client(await world.person("mia"))
    assert (await mia.get(f"/projects/{project}")).status_code == 404
    await world.member("/groups/ops", "mia", 30)
    assert (await mia.get("/projects/ops%2Finner%2Ffleet")).status_code == 200
    assert (await mia.get(f"/projects/{project}/cluster_agents")).status_code == 200
    assert (await world.root.delete(f"/groups/ops/members/{world.people['mia']}")).status_code == 204
    assert (await mia.get(f"/projects/{project}")).status_code == 404


async def test_a_member_is_added_changed_and_removed(world: World):
    project = await world.project("fleet")
    await world.person("mia")
    mia, path = world.people["mia"], f"/projects/{project}/members"
    added = await created(world.root, path, {"user_id": mia, "access_level": 30})
    assert (added["id"], added["username"], added["access_level"]) == (mia, "mia", 30)
    again = await world.root.post(path, json={"user_id": mia, "access_level": 30})
    assert (again.status_code, again.text) == (409, '{"message":"Member already exists"}')
    changed = await world.root.put(f"{path}/{mia}", json={"access_level": 40})
    assert (changed.status_code, changed.json()["access_level"]) == (200, 40)
    assert [member["id"] for member in (await world.root.get(path)).json()] == [mia]
    assert (await world.root.delete(f"{path}/{mia}")).status_code == 204
    assert (await world.root.get(f"{path}/{mia}")).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"user_id": 99, "access_level": 30}, 404, '{"message":"404 User Not Found"}'),
        ({"user_id": 1, "access_level": 33}, 400, '{"error":"access_level does not have a valid value"}'),
        ({}, 400, '{"error":"access_level is missing, user_id is missing"}'),
    ],
)
async def test_a_member_that_makes_no_sense_is_refused(world: World, body, status, text):
    project = await world.project("fleet")
    answer = await world.root.post(f"/projects/{project}/members", json=body)
    assert (answer.status_code, answer.text) == (status, text)


async def test_nobody_gives_more_than_they_have(world: World):
    project = await world.project("fleet")
    mia = world.client(await world.person("mia"))
    await world.person("bob")
    await world.member(f"/projects/{project}", "mia", 40)
    path, bob = f"/projects/{project}/members", world.people["bob"]
    refused = await mia.post(path, json={"user_id": bob, "access_level": 50})
    assert (refused.status_code, refused.text) == (403, '{"message":"403 Forbidden"}')
    assert (await mia.post(path, json={"user_id": bob, "access_level": 40})).status_code == 201


async def test_deleting_a_project_takes_its_agents_along(world: World):
    project = await world.project("fleet")
    agent = await world.agent(project)
    token = await world.agent_token(project, agent)
    answer = await world.root.delete(f"/projects/{project}")
    assert (answer.status_code, answer.text) == (202, '{"message":"202 Accepted"}')
    assert (await world.root.get(f"/projects/{project}")).status_code == 404
    assert (await world.kas_for(token["token"]).get("/internal/kubernetes/agent_info")).status_code == 401


async def test_only_owners_delete_a_project(world: World):
    project = await world.project("fleet")
    mia = world.client(await world.person("mia"))
    await world.member(f"/projects/{project}", "mia", 40)
    answer = await mia.delete(f"/projects/{project}")
    assert (answer.status_code, answer.text) == (403, '{"message":"403 Forbidden"}')


async def test_public_things_are_seen_without_a_credential(world: World):
    group = await world.group("ops", visibility="public")
    await world.project("open", namespace_id=group, visibility="public")
    await world.project("closed", namespace_id=group)
    nobody = world.client()
    assert [project["path"] for project in (await nobody.get("/projects")).json()] == ["open"]
    assert [project["path"] for project in (await nobody.get("/groups/ops/projects")).json()] == ["open"]
    assert "permissions" not in (await nobody.get("/projects/ops%2Fopen")).json()
    assert [found["path"] for found in (await nobody.get("/groups")).json()] == ["ops"]
    assert (await nobody.get("/projects/ops%2Fclosed")).status_code == 404


async def test_groups_are_listed_with_those_below_them(world: World):
    top = await world.group("ops")
    await world.group("inner", parent_id=top)
    found = (await world.root.get("/groups/ops/subgroups")).json()
    assert [(group["full_path"], group["full_name"]) for group in found] == [("ops/inner", "Ops / Inner")]
    assert (await world.root.get(f"/groups/{top}")).json()["full_path"] == "ops"


async def test_a_search_finds_projects_and_groups(world: World):
    await world.group("ops")
    await world.project("fleet")
    assert len((await world.root.get("/projects?search=LEE")).json()) == 1
    assert len((await world.root.get("/groups?search=OP")).json()) == 1
    assert (await world.root.get("/projects?search=%25&membership=true")).json() == []
