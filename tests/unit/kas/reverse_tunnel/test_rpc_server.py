"""Calls of an agent, answered over a tunnel in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kasbah.errors import PeerError
from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.reverse_tunnel.call import AgentCall, Service
from kasbah.kas.reverse_tunnel.rpc_server import MAX_REQUEST_BYTES, RpcServer
from kasbah.kit.secrets import Secret
from kasbah.wire.methods import GET_CONFIGURATION, REGISTER
from kasbah.wire.native_tunnel.stream import ResetCode
from kasbah.wire.rpc import RESET_CODE_BASE, RpcError, StatusCode, encode_message
from tests.doubles.tunnel_pair import RecordingHandler, TunnelPair

CALL = AgentCall(
    agent=AgentInfo(agent_id=7, project_id=1, agent_name="a", project_path="g/p", default_branch="main"),
    agent_token=Secret("t"),
    connection_id=1,
)
REQUEST = encode_message(REGISTER.request(pod_id=5))


async def answer(
    service: Service, request: bytes = REQUEST, path: str | None = None, *, drain: bool = False
) -> RecordingHandler:
    """Call the service through a tunnel and give it ten turns of the loop."""
    pair = TunnelPair()
    async with asyncio.TaskGroup() as tasks:
        server = RpcServer([service])
        pair.kas.stream_opened = lambda _, opening, stream: server.accept(opening, stream, CALL, tasks)  # type: ignore[method-assign]
        stream, handler = pair.agent.open((path or service[0].path).encode())
        if request:
            stream.send(request)
        stream.end()
        for _ in range(10):
            pair.pump()
            await asyncio.sleep(0)
        if drain:
            server.end_long_calls()
            pair.pump()
        stream.reset(ResetCode.CANCELLED)
        pair.pump()
    return handler


@pytest.mark.asyncio
async def test_a_unary_call_is_answered_and_ended():
    seen: list[int] = []

    async def register(call: AgentCall, request):
        seen.append(request.pod_id + call.agent.agent_id)
        return REGISTER.response()

    handler = await answer((REGISTER, register))
    assert seen == [12]
    assert handler.said == [("data", encode_message(REGISTER.response())), ("ended", None)]


@pytest.mark.asyncio
async def test_a_stream_answers_as_often_as_it_likes():
    async def configurations(_call: AgentCall, _request) -> AsyncIterator:
        for commit in ("a", "b"):
            yield GET_CONFIGURATION.response(commit_id=commit)

    handler = await answer((GET_CONFIGURATION, configurations), encode_message(GET_CONFIGURATION.request()))
    assert b"".join(d for w, d in handler.said if w == "data").count(b"\x12\x01") == 2
    assert handler.words()[-1] == "ended"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RpcError(StatusCode.FAILED_PRECONDITION, "Config: broken"), StatusCode.FAILED_PRECONDITION),
        (PeerError("the hub is away"), StatusCode.UNAVAILABLE),
        (ZeroDivisionError("oops"), StatusCode.INTERNAL),
    ],
)
async def test_an_error_becomes_a_status(error: Exception, code: StatusCode):
    async def register(_call: AgentCall, _request):
        raise error

    handler = await answer((REGISTER, register))
    ((word, reset),) = handler.said
    assert (word, reset[0]) == ("reset", RESET_CODE_BASE + code)
    assert "oops" not in reset[1]


@pytest.mark.asyncio
async def test_an_unknown_method_is_unimplemented():
    handler = await answer((REGISTER, None), path="/no/Such")  # type: ignore[arg-type]
    assert handler.said[0][1] == (RESET_CODE_BASE + StatusCode.UNIMPLEMENTED, "unknown method /no/Such")


@pytest.mark.asyncio
@pytest.mark.parametrize("request_bytes", [b"", b"\1\0\0\0\0", b"\0\xff\xff\xff\xff"])
async def test_a_call_without_a_request_or_with_a_broken_one_has_a_status(request_bytes: bytes):
    async def register(_call: AgentCall, _request):
        return REGISTER.response()

    handler = await answer((REGISTER, register), request_bytes)
    assert handler.words() == ["reset"]


@pytest.mark.asyncio
async def test_an_agent_that_hangs_up_cancels_its_call():
    cancelled = asyncio.Event()

    async def forever(_call: AgentCall, _request) -> AsyncIterator:
        try:
            await asyncio.Event().wait()
            yield GET_CONFIGURATION.response()
        finally:
            cancelled.set()

    await answer((GET_CONFIGURATION, forever), encode_message(GET_CONFIGURATION.request()))
    assert cancelled.is_set()


@pytest.mark.asyncio
async def test_a_long_call_ends_well_when_kas_drains():
    async def forever(_call: AgentCall, _request) -> AsyncIterator:
        await asyncio.Event().wait()
        yield GET_CONFIGURATION.response()

    handler = await answer(
        (GET_CONFIGURATION, forever), encode_message(GET_CONFIGURATION.request()), drain=True
    )
    assert handler.said == [("ended", None)]


@pytest.mark.asyncio
async def test_a_request_is_not_collected_beyond_its_limit():
    async def register(_call: AgentCall, _request):
        raise AssertionError("never called")

    request = encode_message(REGISTER.request(agent_meta={"pod_name": "x" * MAX_REQUEST_BYTES}))
    handler = await answer((REGISTER, register), request[:100])
    assert handler.words() == ["reset"]
    assert handler.said[0][1][0] == RESET_CODE_BASE + StatusCode.RESOURCE_EXHAUSTED
