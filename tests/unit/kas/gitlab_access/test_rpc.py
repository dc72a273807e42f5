"""Requests of a module, from the agent's words to the Git side's and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx2
import pytest

from kasbah.kas.gitlab_access import rpc
from kasbah.kas.gitlab_access.settings import Settings
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.reverse_tunnel.call import AgentCall
from kasbah.kit.backoff import BackoffSettings
from kasbah.kit.secrets import Secret
from kasbah.wire.methods import GITLAB_ACCESS_MAKE_REQUEST
from kasbah.wire.pb.gitlab.agent.gitlab_access.rpc.rpc_pb2 import HeaderExtra
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest, HttpResponse
from kasbah.wire.pb.gitlab.agent.prototool import prototool_pb2
from kasbah.wire.rpc import RpcError, StatusCode
from tests.doubles.fake_hub import SECRET, FakeHub

AT_ONCE = BackoffSettings(initial_s=0, maximum_s=0, reset_s=1)
AGENT = AgentInfo(
    agent_id=7, project_id=31, agent_name="prod-eu", project_path="ops/fleet", default_branch="main"
)
TRAILER = HttpRequest(trailer=HttpRequest.Trailer())
TOKEN = "glagent-good"
ROUTE = "modules/remote_development/reconcile"


def head(
    path: str = "/reconcile", module: str = "remote_development", length: int | None = None, **request: object
) -> HttpRequest:
    asked = prototool_pb2.HttpRequest(method="POST", url_path=path, **request)
    header = HttpRequest.Header(request=asked)
    header.extra.Pack(HeaderExtra(module_name=module))
    if length is not None:
        header.content_length = length
    return HttpRequest(header=header)


def data(content: bytes) -> HttpRequest:
    return HttpRequest(data=HttpRequest.Data(data=content))


@dataclass
class Kas:
    hub: FakeHub = field(default_factory=FakeHub)
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        client = HubClient(self.hub.client(), SECRET, retry=AT_ONCE)
        [(method, self.handler)] = rpc.services(client, self.settings)
        assert method is GITLAB_ACCESS_MAKE_REQUEST

    def ask(self, *messages: HttpRequest, token: str = TOKEN) -> AsyncIterator[HttpResponse]:
        async def said() -> AsyncIterator[HttpRequest]:
            for message in messages:
                yield message

        call = AgentCall(agent=AGENT, agent_token=Secret(token), connection_id=1)
        return self.handler(call, said())

    async def answer(self, *messages: HttpRequest, **more: str) -> list[HttpResponse]:
        return [response async for response in self.ask(*messages, **more)]


def body_of(responses: list[HttpResponse]) -> bytes:
    return b"".join(response.data.data for response in responses)


@pytest.mark.asyncio
async def test_a_request_goes_through_and_its_answer_comes_back():
    kas = Kas()
    headers = {"content-type": "application/json", "set-cookie": "x=y"}
    kas.hub.answer_with(ROUTE, httpx2.Response(201, headers=headers, content=b"{}"))
    responses = await kas.answer(
        head(
            length=4,
            query={"b": {"value": ["1"]}, "a": {"value": ["2", "3"]}},
            header={"Content-Type": {"value": ["application/json"]}, "Authorization": {"value": ["x"]}},
        ),
        data(b"ab"),
        data(b"cd"),
        TRAILER,
    )
    assert [response.WhichOneof("message") for response in responses] == ["header", "data", "trailer"]
    answer = responses[0].header.response
    assert (answer.status_code, answer.status) == (201, "201 Created")
    assert answer.header["Content-Type"].value == ["application/json"]
    assert "Set-Cookie" not in answer.header
    assert body_of(responses) == b"{}"
    [sent] = kas.hub.requests
    assert sent.url.raw_path == f"/api/v4/internal/kubernetes/{ROUTE}?a=2&a=3&b=1".encode()
    assert (sent.headers["authorization"], sent.headers["content-length"]) == ("Bearer glagent-good", "4")
    assert sent.headers["user-agent"].startswith("gitlab-kas/")
    assert await sent.aread() == b"abcd"


@pytest.mark.parametrize("status", [200, 204, 302, 401, 402, 404, 500, 503])
@pytest.mark.asyncio
async def test_whatever_the_git_side_answers_is_a_good_answer(status: int):
    kas = Kas()
    kas.hub.answer_with(ROUTE, httpx2.Response(status))
    responses = await kas.answer(head(), TRAILER)
    assert responses[0].header.response.status_code == status
    assert responses[-1].HasField("trailer")
    assert len(kas.hub.requests) == 1  # asked once, whatever it is


@pytest.mark.asyncio
async def test_a_request_without_a_body_has_none():
    kas = Kas()
    await kas.answer(head(), TRAILER)
    assert "transfer-encoding" not in kas.hub.requests[0].headers


@pytest.mark.asyncio
async def test_a_module_that_nobody_knows_is_the_git_sides_404():
    responses = await Kas().answer(head(module="nobody"), TRAILER)
    assert responses[0].header.response.status_code == 404
    assert body_of(responses) == b'{"error":"404 Not Found"}'


@pytest.mark.asyncio
async def test_long_bodies_come_in_pieces():
    kas = Kas()
    kas.hub.answer_with(ROUTE, httpx2.Response(200, content=b"x" * 70_000))
    responses = await kas.answer(head(), TRAILER)
    assert [len(response.data.data) for response in responses[1:-1]] == [32768, 32768, 4464]


@pytest.mark.asyncio
async def test_an_answer_that_comes_before_the_body_is_there_is_passed_on():
    kas = Kas()
    kas.hub.answer_with(ROUTE, httpx2.Response(413))  # does not read the body
    more = asyncio.Event()

    async def said() -> AsyncIterator[HttpRequest]:
        yield head()
        yield data(b"x")
        await more.wait()

    call = AgentCall(agent=AGENT, agent_token=Secret(TOKEN), connection_id=1)
    responses = [response async for response in kas.handler(call, said())]
    assert responses[0].header.response.status_code == 413


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"path": ""}, StatusCode.INVALID_ARGUMENT),
        ({"path": "/../../agent_info"}, StatusCode.INVALID_ARGUMENT),
        ({"path": "/%2e%2e/agent_info"}, StatusCode.INVALID_ARGUMENT),
        ({"module": "../x"}, StatusCode.INVALID_ARGUMENT),
        ({"module": ""}, StatusCode.INVALID_ARGUMENT),
        ({"header": {"Upgrade": {"value": ["x"]}}}, StatusCode.UNAVAILABLE),
        ({"header": {"Accept": {"value": ["a\r\nb"]}}}, StatusCode.INVALID_ARGUMENT),
    ],
    ids=str,
)
@pytest.mark.asyncio
async def test_what_cannot_be_asked_is_refused_and_nothing_happens(
    asked: dict[str, object], code: StatusCode
):
    kas = Kas()
    with pytest.raises(RpcError) as caught:
        await kas.answer(head(**asked), TRAILER)
    assert caught.value.code == code
    assert kas.hub.requests == []


@pytest.mark.asyncio
async def test_a_body_that_breaks_ends_the_call_with_its_own_status():
    for answered in (False, True):
        kas = Kas()
        if answered:
            kas.hub.answer_with("modules/x/", httpx2.ReadError("cut"))
        with pytest.raises(RpcError) as caught:
            await kas.answer(head(length=5), data(b"x"), TRAILER)
        assert caught.value.code == StatusCode.INTERNAL


@pytest.mark.asyncio
async def test_a_git_side_that_is_away_is_said_to_be():
    kas = Kas()
    kas.hub.answer_with(ROUTE, httpx2.ConnectError("refused"))
    with pytest.raises(RpcError, match="refused") as caught:
        await kas.answer(head(), TRAILER)
    assert caught.value.code == StatusCode.UNAVAILABLE


@pytest.mark.asyncio
async def test_a_token_that_is_none_is_not_even_asked_with():
    kas = Kas()
    with pytest.raises(RpcError) as caught:
        await kas.answer(head(), TRAILER, token="")
    assert (caught.value.code, kas.hub.requests) == (StatusCode.UNAUTHENTICATED, [])


@pytest.mark.asyncio
async def test_an_answer_that_does_not_end_is_cut_off():
    kas = Kas(settings=Settings(max_response_bytes=10))
    kas.hub.answer_with(ROUTE, httpx2.Response(200, content=b"x" * 11))
    with pytest.raises(RpcError) as caught:
        await kas.answer(head(), TRAILER)
    assert caught.value.code == StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.asyncio
async def test_a_git_side_that_does_not_answer_is_not_waited_for_for_ever():
    class Silent(FakeHub):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            await asyncio.Event().wait()
            raise AssertionError

    kas = Kas(hub=Silent(), settings=Settings(deadline_s=0.01))
    with pytest.raises(RpcError) as caught:
        await kas.answer(head(), TRAILER)
    assert caught.value.code == StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("settings", [Settings(max_requests_per_agent=1), Settings(max_requests=1)])
@pytest.mark.asyncio
async def test_requests_at_a_time_are_counted_and_given_back(settings: Settings):
    kas = Kas(settings=settings)
    first = kas.ask(head(), TRAILER)
    await anext(first)
    with pytest.raises(RpcError, match="too many requests") as caught:
        await kas.answer(head(), TRAILER)
    assert caught.value.code == StatusCode.RESOURCE_EXHAUSTED
    await first.aclose()
    assert await kas.answer(head(), TRAILER)
