"""Making calls; each once over a call that nothing carries and, where a carrier matters, over a tunnel in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from kasbah.rpc import client as client_module
from kasbah.rpc.client import CallClient
from kasbah.wire.methods import GET_CONFIGURATION, REGISTER
from kasbah.wire.native_tunnel.calls import open_call
from kasbah.wire.native_tunnel.frames import INITIAL_WINDOW
from kasbah.wire.rpc import (
    MAX_WAITING_MESSAGES,
    Call,
    CallHandler,
    RpcError,
    StatusCode,
    encode_message,
)
from kasbah.wire.stream import ResetCode
from tests.doubles.recording_call import RecordingCall
from tests.doubles.tunnel_pair import TunnelPair

ANSWER = REGISTER.response().SerializeToString()


class Connection:
    """A caller whose call the test answers by hand."""

    def __init__(self) -> None:
        self.client = CallClient(self._wait)
        self.call = RecordingCall(answers=False)
        self.path = ""
        self.handler: CallHandler

    async def _wait(self) -> Connection:
        return self

    def open_call(self, path: str, handler: CallHandler, metadata: object = ()) -> Call:
        self.path, self.handler = path, handler
        return self.call

    async def register(self, *answers: Callable[[CallHandler], object]) -> object:
        """What a unary call comes to, each answer given one turn after another."""
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(outcome(self.client.unary(REGISTER, REGISTER.request(pod_id=5))))
            for answer in answers:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                answer(self.handler)
        return call.result()


def say(handler: CallHandler) -> None:
    handler.message_received(ANSWER)


def end(handler: CallHandler) -> None:
    handler.ended()


async def outcome(call: Awaitable[object]) -> object:
    """The answer, or the status."""
    try:
        return await call
    except RpcError as error:
        return error.code


@pytest.mark.asyncio
async def test_a_unary_call_sends_its_method_and_request_and_returns_the_answer():
    connection = Connection()
    answer = await connection.register(say, end)
    assert answer == REGISTER.response()
    assert connection.path == REGISTER.path
    assert connection.call.sent == [REGISTER.request(pod_id=5).SerializeToString()]
    assert connection.call.ended
    assert (connection.call.taken, connection.call.failed_with) == ([len(ANSWER)], None)


@pytest.mark.asyncio
async def test_a_status_comes_out_as_an_error():
    connection = Connection()
    assert (
        await connection.register(lambda handler: handler.failed(StatusCode.UNAUTHENTICATED, "why"))
        is StatusCode.UNAUTHENTICATED
    )


@pytest.mark.asyncio
async def test_a_status_after_the_answer_counts():
    connection = Connection()
    assert (
        await connection.register(
            say,
            lambda handler: handler.failed(StatusCode.UNAVAILABLE, "the server stops"),
        )
        is StatusCode.UNAVAILABLE
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("answers", [0, 2])
async def test_no_answer_and_two_answers_are_errors(answers: int):
    connection = Connection()
    steps = [say] * answers
    assert await connection.register(*steps, end) is StatusCode.INTERNAL


@pytest.mark.asyncio
async def test_an_answer_that_is_none_cancels_the_call():
    connection = Connection()
    outcome = await connection.register(lambda handler: handler.message_received(b"\xff"))
    assert outcome is StatusCode.INTERNAL
    assert connection.call.failed_with == (StatusCode.CANCELLED, "")


@pytest.mark.asyncio
async def test_a_call_that_is_not_answered_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client_module, "UNARY_TIMEOUT_S", 0.0)
    connection = Connection()
    assert await connection.register() is StatusCode.DEADLINE_EXCEEDED


@pytest.mark.asyncio
async def test_a_connection_that_takes_no_calls_is_a_status():
    async def nowhere() -> Connection:
        raise RpcError(StatusCode.UNAVAILABLE, "there is no tunnel to kas")

    assert await outcome(CallClient(nowhere).unary(REGISTER, REGISTER.request())) is StatusCode.UNAVAILABLE


@pytest.mark.asyncio
async def test_a_stream_is_read_only_as_fast_as_it_is_taken():
    connection = Connection()
    responses = connection.client.server_stream(GET_CONFIGURATION, GET_CONFIGURATION.request())
    first = asyncio.ensure_future(anext(responses))  # noqa: TID251 - awaited two lines below
    await asyncio.sleep(0)
    for commit in ("c1", "c2"):
        connection.handler.message_received(GET_CONFIGURATION.response(commit_id=commit).SerializeToString())
    connection.handler.ended()
    assert (await first).commit_id == "c1"
    assert connection.call.taken == [4]
    assert [response.commit_id async for response in responses] == ["c2"]
    assert connection.call.failed_with is None


@pytest.mark.asyncio
async def test_empty_answers_that_nobody_takes_are_bounded():
    connection = Connection()
    responses = connection.client.server_stream(GET_CONFIGURATION, GET_CONFIGURATION.request())
    first = asyncio.ensure_future(anext(responses))  # noqa: TID251 - awaited below
    await asyncio.sleep(0)
    for _ in range(MAX_WAITING_MESSAGES):
        connection.handler.message_received(b"")
    assert connection.call.failed_with is None
    connection.handler.message_received(b"")
    assert connection.call.failed_with == (StatusCode.CANCELLED, "")
    await first
    with pytest.raises(RpcError, match="answers wait to be read") as caught:
        async for _ in responses:
            pass
    assert caught.value.code is StatusCode.RESOURCE_EXHAUSTED


class Calls:
    """A client on one end of a pair of tunnels; kas' end answers by hand."""

    def __init__(self) -> None:
        self.pair = TunnelPair()
        self.client = CallClient(self._wait)

    async def _wait(self) -> Calls:
        return self

    def open_call(self, path: str, handler: CallHandler, metadata: object = ()) -> Call:
        return open_call(self.pair.agent.tunnel, path, handler)

    async def pump(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
            self.pair.pump()

    async def first(self) -> str:
        """Take one response and leave."""
        responses = self.client.server_stream(GET_CONFIGURATION, GET_CONFIGURATION.request())
        response = await anext(responses)
        await responses.aclose()
        return response.commit_id


@pytest.mark.asyncio
async def test_leaving_a_stream_cancels_the_call():
    calls = Calls()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(calls.first())
        await calls.pump()
        _, path, stream, heard = calls.pair.kas.opened[0]
        stream.send(encode_message(GET_CONFIGURATION.response(commit_id="c1")))
        await calls.pump()
    calls.pair.pump()
    assert (path.decode(), first.result()) == (GET_CONFIGURATION.path, "c1")
    assert heard.said[-1][1] == (ResetCode.CANCELLED, "")


@pytest.mark.asyncio
async def test_a_response_longer_than_the_window_arrives():
    calls = Calls()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(calls.first())
        await calls.pump()
        stream = calls.pair.kas.opened[0][2]
        stream.send(encode_message(GET_CONFIGURATION.response(commit_id="x" * 3 * INITIAL_WINDOW)))
        await calls.pump()
    assert len(first.result()) == 3 * INITIAL_WINDOW
