"""Hostile and broken requests: a clear error, nothing changed, and the next request is served."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.hub.conftest import World

pytestmark = pytest.mark.asyncio

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
NOT_AS_DECLARED = (400, '{"error":"message body does not match declared format"}')


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        (JSON, b"{", NOT_AS_DECLARED),
        (JSON, b"[1]", NOT_AS_DECLARED),
        (JSON, b'{"name":"\xff"}', NOT_AS_DECLARED),
        (JSON, b'{"name":' + b"[" * 100_000 + b"]" * 100_000 + b"}", NOT_AS_DECLARED),
        (JSON, b'{"name":"a\\u0000b"}', (400, '{"error":"name is invalid"}')),
        (FORM, b"name=%ff", NOT_AS_DECLARED),
        (FORM, b"&".join(b"x%d=1" % number for number in range(2000)), NOT_AS_DECLARED),
        ({"Content-Type": "multipart/form-data"}, b"x", NOT_AS_DECLARED),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"--b\r\nno name", NOT_AS_DECLARED),
        (
            {"Content-Type": "text/plain"},
            b"x",
            (415, """{"error":"The provided content-type 'text/plain' is not supported."}"""),
        ),
        (JSON, b" " * (1024 * 1024 + 1), (413, '{"error":"413 Request Entity Too Large"}')),
    ],
)
async def test_a_body_that_cannot_be_used_is_named(world: World, headers, body, expected):
    project = await world.project("fleet")
    answer = await world.root.post(f"/projects/{project}/cluster_agents", content=body, headers=headers)
    assert (answer.status_code, answer.text) == expected
    assert (await world.root.get(f"/projects/{project}/cluster_agents")).json() == []


async def test_a_body_without_a_declared_length_is_bounded_too(world: World):
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 65536
            yield b"x" * 65536

    answer = await world.root.post("/projects", content=endless(), headers=JSON)
    assert answer.status_code == 413
    assert sent <= 2 * 1024 * 1024


async def test_a_token_of_a_megabyte_is_just_unknown(world: World):
    answer = await world.client("glpat-" + "a" * 1_000_000).get("/user")
    assert (answer.status_code, answer.text) == (401, '{"message":"401 Unauthorized"}')


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/projects/root%2F..%2Ffleet", 404),
        ("/projects/%2e%2e", 404),
        ("/projects/..", 404),
        ("/projects/%ff", 404),
        ("/projects//cluster_agents", 404),
        ("/projects/99999999999999999999999", 404),
        ("/projects?page=99999999999", 200),
        ("/projects?page=9999999999999999999999", 400),
        ("/projects?page=x", 400),
        ("/projects?per_page=0", 400),
        ("/projects?per_page=1000000", 200),
        ("/users/9223372036854775807", 404),
        ("/users/9223372036854775808", 400),
        ("/projects?search=%00", 400),
    ],
)
async def test_an_odd_path_or_query_is_an_ordinary_answer(world: World, path, status):
    answer = await world.root.get(path)
    assert answer.status_code == status
    assert answer.status_code < 500


async def test_a_client_that_leaves_in_the_middle_of_its_body_hurts_nobody(world: World):
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v4/projects",
        "raw_path": b"/api/v4/projects",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    await world.app.asgi(scope, receive, send)
    assert sent == []
    assert (await world.root.get("/user")).status_code == 200


async def test_a_cancelled_write_leaves_the_writer_free(world: World):
    async def create(number: int) -> None:
        await world.root.post("/projects", json={"name": f"p{number}"})

    for number in range(10):
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(create(number))
            await asyncio.sleep(0.002 * number)
            task.cancel()
    assert (await world.root.post("/projects", json={"name": "after"})).status_code == 201


async def test_two_of_one_name_at_once_make_one(world: World):
    async def create() -> int:
        return (await world.root.post("/groups", json={"name": "x", "path": "x"})).status_code

    async with asyncio.TaskGroup() as tasks:
        answers = [tasks.create_task(create()) for _ in range(10)]
    assert sorted(answer.result() for answer in answers) == [201, *[400] * 9]
