"""Calls to kas, over a tunnel in memory."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.agentk.reverse_tunnel.rpc_client import TunnelRpcClient
from kasbah.wire.methods import GET_CONFIGURATION, REGISTER
from kasbah.wire.native_tunnel.stream import ResetCode
from kasbah.wire.rpc import RESET_CODE_BASE, RpcError, StatusCode, encode_message
from tests.doubles.tunnel_pair import TunnelPair

RESPONSE = encode_message(REGISTER.response())


class Calls:
    """A client on one end of a pair; kas' end answers by hand."""

    def __init__(self) -> None:
        self.pair = TunnelPair()
        self.client = TunnelRpcClient(self._tunnel)

    async def _tunnel(self):
        return self.pair.agent.tunnel

    async def pump(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
            self.pair.pump()

    @property
    def stream(self):
        return self.pair.kas.opened[-1][2]


@pytest.mark.asyncio
async def test_a_unary_call_sends_its_method_and_request_and_returns_the_answer():
    calls = Calls()
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(calls.client.unary(REGISTER, REGISTER.request(pod_id=5)))
        await calls.pump()
        calls.stream.send(RESPONSE)
        calls.stream.end()
        await calls.pump()
    _, path, _, heard = calls.pair.kas.opened[0]
    assert (path.decode(), heard.said[0][1]) == (REGISTER.path, encode_message(REGISTER.request(pod_id=5)))
    assert call.result() == REGISTER.response()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("reset_code", "status"),
    [
        (RESET_CODE_BASE + StatusCode.UNAUTHENTICATED, StatusCode.UNAUTHENTICATED),
        (RESET_CODE_BASE + 999, StatusCode.UNKNOWN),
        (ResetCode.REFUSED, StatusCode.UNAVAILABLE),
    ],
)
async def test_a_reset_comes_out_as_its_status(reset_code: int, status: StatusCode):
    calls = Calls()
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(_code_of(calls.client.unary(REGISTER, REGISTER.request())))
        await calls.pump()
        calls.stream.reset(reset_code, "why")
        await calls.pump()
    assert call.result() is status


@pytest.mark.asyncio
async def test_a_call_ended_without_an_answer_is_an_error():
    calls = Calls()
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(_code_of(calls.client.unary(REGISTER, REGISTER.request())))
        await calls.pump()
        calls.stream.end()
        await calls.pump()
    assert call.result() is StatusCode.INTERNAL


@pytest.mark.asyncio
async def test_leaving_a_stream_cancels_the_call():
    calls = Calls()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(_first(calls.client))
        await calls.pump()
        calls.stream.send(encode_message(GET_CONFIGURATION.response(commit_id="c1")))
        await calls.pump()
    calls.pair.pump()
    assert first.result() == "c1"
    assert calls.pair.kas.opened[0][3].said[-1][1] == (ResetCode.CANCELLED, "")


async def _first(client: TunnelRpcClient) -> str:
    responses = client.server_stream(GET_CONFIGURATION, GET_CONFIGURATION.request())
    response = await anext(responses)
    await responses.aclose()
    return response.commit_id


async def _code_of(call) -> StatusCode:
    with pytest.raises(RpcError) as caught:
        await call
    return caught.value.code
