"""Users, personal access tokens and the instance: rows 3, 4, 8 and 9 of what interoperability asserts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.hub.conftest import URL, World, created

pytestmark = pytest.mark.asyncio

REVOKED = '{"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize from the user."}'
EXPIRED = (
    '{"error":"invalid_token","error_description":'
    '"Token is expired. You can either do re-authorization or token refresh."}'
)


@pytest.mark.parametrize("path", ["/metadata", "/version"])
async def test_the_instance_names_kas_in_camel_case(world: World, path):
    answer = await world.root.get(path)
    assert answer.json() == {
        "version": "18.6.1",
        "revision": "kasbah",
        "kas": {
            "enabled": True,
            "externalUrl": "wss://hub.example/-/kubernetes-agent/",
            "externalK8sProxyUrl": "https://hub.example/-/kubernetes-agent/k8s-proxy/",
            "version": "18.6.1",
        },
        "enterprise": False,
    }
    assert (await world.client().get(path)).status_code == 401


async def test_every_answer_has_gitlabs_headers(world: World):
    answer = await world.root.get("/user", headers={"X-Request-Id": "trace-7"})
    expected = {
        "content-type": "application/json",
        "x-frame-options": "SAMEORIGIN",
        "x-content-type-options": "nosniff",
        "cache-control": "max-age=0, private, must-revalidate",
        "vary": "Origin",
        "x-request-id": "trace-7",
    }
    assert {name: answer.headers[name] for name in expected} == expected
    again = await world.root.get("/user", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_the_caller_sees_their_own_user(world: World):
    mia = world.client(await world.person("mia", "read_user"))
    user = (await mia.get("/user")).json()
    assert (user["username"], user["state"], user["is_admin"]) == ("mia", "active", False)
    assert user["web_url"] == f"{URL}/mia"


async def test_others_see_the_public_part_of_a_user(world: World):
    mia = world.client(await world.person("mia"))
    root = (await mia.get("/users/1")).json()
    assert list(root) == ["id", "username", "name", "state", "locked", "avatar_url", "web_url"]
    assert (await mia.get("/users", params={"username": "root"})).json() == [root]
    missing = await mia.get("/users/99")
    assert (missing.status_code, missing.text) == (404, '{"message":"404 User Not Found"}')


async def test_only_administrators_make_users(world: World):
    body = {"username": "bob", "name": "Bob", "email": "bob@example.com"}
    mia = world.client(await world.person("mia"))
    refused = await mia.post("/users", json=body)
    assert (refused.status_code, refused.text) == (403, '{"message":"403 Forbidden"}')
    await created(world.root, "/users", body)
    taken = await world.root.post("/users", json={**body, "email": "other@example.com"})
    assert (taken.status_code, taken.text) == (409, '{"message":"Username has already been taken"}')
    missing = await world.root.post("/users", json={"username": "x"})
    assert missing.text == '{"error":"email is missing, name is missing"}'


async def test_a_token_for_the_proxy_is_made_with_any_api_token(world: World):
    mia = world.client(await world.person("mia"))
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    body = {"name": "glab", "scopes": ["k8s_proxy"], "expires_at": tomorrow}
    token = await created(mia, "/user/personal_access_tokens", body)
    assert token["token"].startswith("glpat-")
    assert list(token) == [
        "id",
        "name",
        "revoked",
        "created_at",
        "description",
        "scopes",
        "user_id",
        "last_used_at",
        "active",
        "expires_at",
        "token",
    ]
    expected = (["k8s_proxy"], tomorrow, False, True)
    assert (token["scopes"], token["expires_at"], token["revoked"], token["active"]) == expected


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        ({"name": "t", "scopes": ["api"]}, 400, '{"error":"scopes does not have a valid value"}'),
        ({"scopes": "k8s_proxy"}, 400, '{"error":"name is missing"}'),
        ({"name": "t"}, 400, '{"error":"scopes is missing"}'),
        (
            {"name": "t", "scopes": "k8s_proxy", "expires_at": "soon"},
            400,
            '{"error":"expires_at is invalid"}',
        ),
        ({"name": "", "scopes": ["k8s_proxy"]}, 422, '{"message":"Name can\'t be blank"}'),
    ],
)
async def test_other_tokens_are_refused(world: World, body, status, expected):
    answer = await world.root.post("/user/personal_access_tokens", json=body)
    assert (answer.status_code, answer.text) == (status, expected)


async def test_the_default_date_is_tomorrow_and_lists_come_in_every_spelling(world: World):
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    path = "/user/personal_access_tokens"
    for form in (
        {"name": "t", "scopes[]": ["k8s_proxy", "self_rotate"]},
        {"name": "t", "scopes": "k8s_proxy,self_rotate"},
    ):
        answer = await world.root.post(path, data=form)
        assert answer.json()["scopes"] == ["k8s_proxy", "self_rotate"]
        assert answer.json()["expires_at"] == tomorrow


async def test_a_proxy_token_opens_itself_and_nothing_else(world: World):
    token = await world.person("mia", "k8s_proxy")
    mia = world.client(token)
    refused = await mia.get("/user")
    assert refused.status_code == 403
    assert refused.text == (
        '{"error":"insufficient_scope","error_description":"The request requires higher privileges than '
        'provided by the access token.","scope":"api read_api read_user"}'
    )
    own = await mia.get("/personal_access_tokens/self")
    assert own.json()["scopes"] == ["k8s_proxy"]
    assert "token" not in own.json()
    assert (await mia.delete("/personal_access_tokens/self")).status_code == 204
    revoked = await mia.get("/personal_access_tokens/self")
    assert (revoked.status_code, revoked.text) == (401, REVOKED)


async def test_read_api_reads_and_does_not_write(world: World):
    mia = world.client(await world.person("mia", "read_api"))
    assert (await mia.get("/projects")).status_code == 200
    refused = await mia.post("/projects", json={"name": "x"})
    assert (refused.status_code, refused.json()["scope"]) == (403, "api read_api")


async def test_a_token_dies_at_midnight_utc_of_its_date(world: World):
    await world.person("mia")
    today = datetime.now(UTC).date()
    dead = await world.token_of("mia", expires_at=today.isoformat())
    alive = await world.token_of("mia", expires_at=(today + timedelta(days=1)).isoformat())
    answer = await world.client(dead).get("/user")
    assert (answer.status_code, answer.text) == (401, EXPIRED)
    assert (await world.client(alive).get("/user")).status_code == 200


async def test_other_peoples_tokens_are_not_to_be_found(world: World):
    mia, bob = world.client(await world.person("mia")), world.client(await world.person("bob"))
    own = (await mia.get("/personal_access_tokens/self")).json()["id"]
    for number in (own, 999):
        answer = await bob.get(f"/personal_access_tokens/{number}")
        assert (answer.status_code, answer.text) == (401, '{"message":"401 Unauthorized"}')
    absent = await world.root.get("/personal_access_tokens/999")
    assert (absent.status_code, absent.text) == (404, '{"message":"404 Not Found"}')
    assert (await world.root.delete(f"/personal_access_tokens/{own}")).status_code == 204
    assert (await mia.get("/user")).status_code == 401


async def test_rotating_replaces_the_token(world: World):
    old = await world.person("mia", "api")
    answer = await world.client(old).post("/personal_access_tokens/self/rotate")
    assert answer.status_code == 200
    new = answer.json()
    assert new["expires_at"] == (datetime.now(UTC).date() + timedelta(days=7)).isoformat()
    assert (await world.client(old).get("/user")).status_code == 401
    assert (await world.client(new["token"]).get("/user")).status_code == 200


async def test_two_rotations_at_once_make_one_token(world: World):
    mia = world.client(await world.person("mia", "self_rotate"))

    async def rotate() -> int:
        return (await mia.post("/personal_access_tokens/self/rotate")).status_code

    async with asyncio.TaskGroup() as tasks:
        answers = [tasks.create_task(rotate()) for _ in range(5)]
    assert sorted(answer.result() for answer in answers) == [200, 401, 401, 401, 401]


async def test_a_blocked_person_is_refused_at_once(world: World):
    mia = world.client(await world.person("mia"))
    assert (await world.root.post(f"/users/{world.people['mia']}/block")).status_code == 201
    answer = await mia.get("/user")
    expected = '{"message":"403 Forbidden - Your account has been blocked."}'
    assert (answer.status_code, answer.text) == (403, expected)
    await world.root.post(f"/users/{world.people['mia']}/unblock")
    assert (await mia.get("/user")).status_code == 200


async def test_an_administrator_may_act_as_somebody(world: World):
    mia = world.client(await world.person("mia", "api", "sudo"))
    acting = await world.root.get("/user", headers={"Sudo": "mia"})
    assert acting.json()["username"] == "mia"
    assert (await world.root.get("/user?sudo=2")).json()["username"] == "mia"
    refused = await mia.get("/user", headers={"Sudo": "root"})
    assert refused.text == '{"message":"403 Forbidden - Must be admin to use sudo"}'
    nobody = await world.root.get("/user", headers={"Sudo": "bob"})
    assert nobody.text == """{"message":"404 User with ID or username 'bob' Not Found"}"""


async def test_an_unknown_path_is_no_route(world: World):
    answer = await world.root.get("/no/such/route")
    assert (answer.status_code, answer.text) == (404, '{"error":"404 Not Found"}')
