"""Ordinary requests through the proxy, over a real connection."""

from __future__ import annotations

import asyncio
import json

import pytest

from kasbah.kas.hub_client.errors import HubUnavailableError
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.wire.identity import AsAgent, AsUser
from kasbah.wire.kubernetes_api import split_stamp
from kasbah.wire.stream import ResetCode
from tests.doubles.loopback_agent import until
from tests.doubles.people import MIA_AS_USER, mia

QUICK = KubernetesApiSettings(agent_wait_s=0.2)


@pytest.mark.asyncio
async def test_a_get_arrives_clean_and_its_answer_comes_back(scene_with):
    async with scene_with() as scene, scene.client() as client:
        client.ask(b"GET /api/v1/pods?limit=500", b"Accept: application/json\r\nCookie: a=b\r\nX-Odd: 1\r\n")
        stream = await scene.stream()
        plain, stamp = split_stamp(stream.request_head)
        assert plain == (
            b"GET /api/v1/pods?limit=500 HTTP/1.1\r\nAccept: application/json\r\n"
            b"Accept-Encoding: identity\r\nVia: 1.1 kasbah-kas\r\n\r\n"
        )
        assert stamp
        assert stream.request_ended
        assert stream.envelope.agent_id == 7
        assert stream.envelope.identity == AsAgent()
        stream.answer(b'{"items":[]}', headers=b"Audit-Id: x\r\nSet-Cookie: evil=1\r\nLocation: /evil\r\n")
        answer = await client.answer()
    assert answer.body == b'{"items":[]}'
    assert b"Audit-Id: x" in answer.head
    assert b"evil" not in answer.head
    assert b"X-Content-Type-Options: nosniff" in answer.head


@pytest.mark.asyncio
async def test_one_connection_carries_many_requests(scene_with):
    async with scene_with() as scene, scene.client() as client:
        scene.agent.on_stream = lambda stream: stream.answer(b"%d" % stream.stream_id)
        for _ in range(3):
            client.ask(b"GET /version")
        assert [(await client.answer()).body for _ in range(3)] == [b"1", b"2", b"3"]
        assert scene.people.questions == 1


@pytest.mark.asyncio
async def test_a_person_is_impersonated_with_gitlabs_strings(scene_with):
    async with scene_with() as scene, scene.client() as client:
        scene.people.tokens["good"] = mia(MIA_AS_USER)
        client.ask(b"GET /version")
        identity = (await scene.stream()).envelope.identity
    assert isinstance(identity, AsUser)
    assert identity.username == "gitlab:user:mia"
    assert identity.groups[0] == "gitlab:user"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("token", "cause"),
    [
        (b"", "Unauthorized: no valid credentials provided"),
        (b"foo", "Unauthorized: Authorization header: invalid value"),
        (b"pat:7:", "Unauthorized: Authorization header: empty token"),
        (b"foo:7:x", "Unauthorized: Authorization header: unknown token type"),
        (b"pat:7:wrong", "Unauthorized"),
        (b"pat:8:good", "Unauthorized"),
    ],
)
async def test_bad_credentials_get_gitlabs_words_and_no_stream(scene_with, token, cause):
    async with scene_with() as scene, scene.client() as client:
        client.ask(b"GET /version", token=token)
        answer = await client.answer()
        assert scene.agent.streams == []
    status = json.loads(answer.body)
    assert (answer.status, status["reason"]) == (401, "Unauthorized")
    assert status["message"].startswith(f"GitLab Agent Server: {cause}. Trace ID: ")
    assert b"Gitlab-Unauthorized: true" in answer.head


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"Impersonate-User: root", b"nested impersonation is not supported"),
        (b"impersonate-Extra-a: b", b"impersonation needs exactly one Impersonate-User"),
        (b"X-Remote-Group: g", b"not a client's to send"),
    ],
)
async def test_who_is_impersonated_already_may_not_name_an_identity(scene_with, header, said):
    async with scene_with() as scene, scene.client() as client:
        scene.people.tokens["good"] = mia(MIA_AS_USER)
        client.ask(b"GET /version", header + b"\r\n")
        answer = await client.answer()
        assert scene.agent.streams == []
    assert answer.status == 400
    assert said in answer.body


@pytest.mark.asyncio
async def test_who_acts_as_the_agent_may_be_somebody_else(scene_with):
    async with scene_with() as scene, scene.client() as client:
        client.ask(b"GET /version", b"Impersonate-User: root\r\nImpersonate-Group: g\r\n")
        stream = await scene.stream()
        assert stream.envelope.identity == AsUser(username="root", groups=("g",))
        assert b"mpersonate" not in stream.request_head
        stream.answer()
        assert (await client.answer()).status == 200


@pytest.mark.asyncio
async def test_an_agent_that_is_away_is_told_apart(scene_with):
    async with scene_with(QUICK) as scene, scene.client() as client:
        scene.agent.connected = False
        client.ask(b"GET /version")
        answer = await client.answer()
    assert answer.status == 502
    assert b"Agent connection not found. Is agent up to date and connected?" in answer.body


@pytest.mark.asyncio
async def test_a_request_waits_for_an_agent_that_comes_back(scene_with):
    async with scene_with() as scene, scene.client() as client:
        scene.agent.connected = False
        client.ask(b"GET /version")
        await asyncio.sleep(0.1)
        scene.agent.connect()
        (await scene.stream()).answer()
        assert (await client.answer()).status == 200


@pytest.mark.asyncio
async def test_a_git_side_that_is_away_allows_nothing(scene_with):
    async with scene_with() as scene, scene.client() as client:
        scene.people.failure = HubUnavailableError("refused")
        client.ask(b"GET /version")
        answer = await client.answer()
    assert answer.status == 500
    assert b"Failed to authorize user session" in answer.body


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ResetCode.UPSTREAM_UNREACHABLE, 502),
        (ResetCode.UPSTREAM_FAILED, 502),
        (ResetCode.DEADLINE, 504),
        (ResetCode.INTERNAL, 502),
    ],
)
async def test_a_reset_before_the_answer_is_a_status(scene_with, code, status):
    async with scene_with() as scene, scene.client() as client:
        client.ask(b"GET /version")
        (await scene.stream()).say_reset(code, "dial tcp 10.0.0.1:443: connection refused")
        answer = await client.answer()
    assert answer.status == status
    assert b"connection refused" in answer.body


@pytest.mark.asyncio
async def test_a_reset_after_the_answer_began_breaks_the_connection_off(scene_with):
    async with scene_with() as scene, scene.client() as client:
        client.ask(b"GET /version")
        stream = await scene.stream()
        stream.say_head(b"HTTP/1.1 200 OK\r\n\r\n")
        stream.say(b"half")
        await client.head()
        stream.say_reset(ResetCode.CONNECTION_LOST)
        assert not (await client.rest()).endswith(b"0\r\n\r\n")


@pytest.mark.asyncio
async def test_a_read_is_sent_again_when_its_tunnel_breaks_before_the_answer(scene_with):
    async with scene_with() as scene, scene.client() as client:
        client.ask(b"GET /version")
        (await scene.stream()).say_reset(ResetCode.CONNECTION_LOST)
        (await scene.stream(2)).answer()
        assert (await client.answer()).status == 200


@pytest.mark.asyncio
async def test_a_write_is_not_sent_again(scene_with):
    async with scene_with() as scene, scene.client() as client:
        client.ask(b"POST /api/v1/namespaces", b"Content-Length: 2\r\n", body=b"{}")
        (await scene.stream()).say_reset(ResetCode.CONNECTION_LOST)
        assert (await client.answer()).status == 502
        assert len(scene.agent.streams) == 1


@pytest.mark.asyncio
async def test_bodies_travel_with_and_without_a_length(scene_with):
    async with scene_with() as scene, scene.client() as client:
        client.ask(b"POST /api/v1/namespaces", b"Content-Length: 2\r\n", body=b"{}")
        first = await scene.stream()
        first.answer(status=b"201 Created")
        await client.answer()
        chunks = b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
        client.ask(b"POST /api/v1/namespaces", b"Transfer-Encoding: chunked\r\n", body=chunks)
        second = await scene.stream(2)
        await until(lambda: second.request_ended)
        second.answer()
        await client.answer()
    assert (first.body, second.body) == (b"{}", b"{}")
    assert b"Content-Length: 2\r\n" in first.request_head
    assert b"Transfer-Encoding: chunked\r\n" in second.request_head


@pytest.mark.asyncio
async def test_a_body_over_the_limit_is_413(scene_with):
    async with scene_with(KubernetesApiSettings(max_body_bytes=10)) as scene, scene.client() as client:
        client.ask(b"POST /api/v1/namespaces", b"Content-Length: 11\r\n", body=b"x" * 11)
        assert (await client.answer()).status == 413
        assert scene.agent.streams == [] or scene.agent.streams[0].reset_with is not None


@pytest.mark.asyncio
async def test_a_redirect_is_never_relayed(scene_with):
    async with scene_with() as scene, scene.client() as client:
        client.ask(b"GET /version")
        (await scene.stream()).answer(status=b"302 Found", headers=b"Location: http://evil/\r\n")
        answer = await client.answer()
    assert answer.status == 502
    assert b"the cluster answered with a redirect" in answer.body
    assert b"evil" not in answer.head + answer.body


@pytest.mark.asyncio
@pytest.mark.parametrize("extra", [b"", b"too long"])
async def test_a_body_of_another_length_than_announced_breaks_the_connection_off(scene_with, extra):
    async with scene_with() as scene, scene.client() as client:
        client.ask(b"GET /version")
        stream = await scene.stream()
        stream.say_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        stream.say(b"shor" + extra)
        if not extra:
            stream.say_end()
        assert (await client.rest()).rpartition(b"\r\n\r\n")[2] in {b"", b"shor"}


@pytest.mark.asyncio
async def test_head_204_and_304_have_no_body(scene_with):
    async with scene_with() as scene, scene.client() as client:
        client.ask(b"HEAD /version")
        stream = await scene.stream()
        stream.say_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        stream.say_end()
        assert b"Content-Length: 5" in await client.head()
        client.ask(b"GET /version")
        stream = await scene.stream(2)
        stream.say_head(b"HTTP/1.1 304 Not Modified\r\n\r\n")
        stream.say_end()
        assert (await client.head()).startswith(b"HTTP/1.1 304 ")
        client.ask(b"DELETE /x")
        (await scene.stream(3)).answer()
        assert (await client.answer()).body == b"{}"


@pytest.mark.asyncio
async def test_a_client_that_leaves_cancels_its_stream(scene_with):
    async with scene_with() as scene:
        async with scene.client() as client:
            client.ask(b"GET /api/v1/pods?watch=1")
            stream = await scene.stream()
        await until(lambda: stream.reset_with is not None)
    assert stream.reset_with[0] == ResetCode.CANCELLED


@pytest.mark.asyncio
async def test_requests_over_the_limit_get_429_with_retry_after(scene_with):
    settings = KubernetesApiSettings(max_requests_per_principal=1)
    async with scene_with(settings) as scene, scene.client() as first, scene.client() as second:
        first.ask(b"GET /version")
        stream = await scene.stream()
        second.ask(b"GET /version")
        refused = await second.answer()
        assert refused.status == 429
        assert b"Retry-After: 1" in refused.head
        stream.answer()
        await first.answer()
        second.ask(b"GET /version")
        (await scene.stream(2)).answer()
        assert (await second.answer()).status == 200


@pytest.mark.asyncio
async def test_foreign_pages_get_403_and_preflights_need_no_credentials(scene_with):
    settings = KubernetesApiSettings(external_origin="https://hub.example")
    async with scene_with(settings) as scene, scene.client() as client:
        client.ask(b"GET /version", b"Origin: https://evil.example\r\n")
        assert (await client.answer()).status == 403
        client.ask(b"OPTIONS /version", b"Origin: https://hub.example\r\n", token=b"")
        preflight = await client.answer()
        assert scene.agent.streams == []
    assert preflight.status == 200
    assert b"Access-Control-Allow-Origin: https://hub.example" in preflight.head
