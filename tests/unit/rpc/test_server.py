"""Answering calls; over a call that nothing carries and, where a carrier matters, over a tunnel in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Self

import pytest
from structlog.testing import capture_logs

from kasbah.errors import Bug, PeerError
from kasbah.rpc.server import MAX_REQUEST_BYTES, CallServer, Service
from kasbah.wire.methods import GET_CONFIGURATION, REGISTER
from kasbah.wire.native_tunnel.calls import answer_call, open_call
from kasbah.wire.native_tunnel.frames import INITIAL_WINDOW
from kasbah.wire.rpc import (
    MAX_MESSAGE_BYTES,
    MAX_WAITING_MESSAGES,
    NOBODY,
    BidiMethod,
    CallHandler,
    Method,
    RpcError,
    StatusCode,
)
from kasbah.wire.stream import ResetCode
from tests.doubles.recording_call import RecordingCall, RecordingCallHandler
from tests.doubles.tunnel_pair import TunnelPair

ECHO = BidiMethod("/test.Echo/Echo", GET_CONFIGURATION.request, GET_CONFIGURATION.response)
REQUEST = REGISTER.request(pod_id=5).SerializeToString()
CONTEXT = 7
"""Who calls, for these handlers."""


def response(commit_id: str) -> bytes:
    return GET_CONFIGURATION.response(commit_id=commit_id).SerializeToString()


def request(commit_id: str) -> bytes:
    return GET_CONFIGURATION.request(commit_id=commit_id).SerializeToString()


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@dataclass
class Answering:
    """One call to one service, in a group of tasks that is entered around the test."""

    service: Service[int]
    tasks: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)
    call: RecordingCall = field(default_factory=RecordingCall)

    async def __aenter__(self) -> Self:
        await self.tasks.__aenter__()
        self.server = CallServer([self.service], log_fields=lambda context: {"agent_id": context})
        self.handler = self.accept(self.service[0].path)
        return self

    def accept(self, path: str) -> CallHandler:
        return self.server.accept(path, self.call, CONTEXT, self.tasks)

    async def __aexit__(self, *error) -> None:
        self.handler.failed(StatusCode.CANCELLED, "")
        await self.tasks.__aexit__(*error)

    async def ask(self, *messages: bytes, end: bool = True) -> RecordingCall:
        """Say these requests, and look at the call ten turns later."""
        for message in messages:
            self.handler.message_received(message)
        if end and not self.call.is_over:
            self.handler.ended()
        await turns()
        return self.call


def unary(answer: Callable[[], object] = REGISTER.response) -> Service[int]:
    async def register(_context: int, _request):
        return answer()

    return REGISTER, register


def raising(error: Exception) -> Callable[[], object]:
    def answer() -> object:
        raise error

    return answer


async def slow(_context: int, _request):
    await asyncio.Event().wait()


async def forever(_context: int, _request) -> AsyncIterator:
    await asyncio.Event().wait()
    yield GET_CONFIGURATION.response()


# -- one request -----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_unary_call_is_answered_and_ended():
    seen: list[int] = []

    async def register(context: int, request):
        seen.append(request.pod_id + context)
        return REGISTER.response()

    async with Answering((REGISTER, register)) as answering:
        call = await answering.ask(REQUEST)
    assert seen == [12]
    assert (call.sent, call.ended, call.taken) == ([b""], True, [len(REQUEST)])


@pytest.mark.asyncio
async def test_a_stream_answers_as_often_as_it_likes():
    async def configurations(_context: int, _request) -> AsyncIterator:
        for commit in ("a", "b"):
            yield GET_CONFIGURATION.response(commit_id=commit)

    async with Answering((GET_CONFIGURATION, configurations)) as answering:
        call = await answering.ask(b"")
    assert (call.sent, call.ended) == ([response("a"), response("b")], True)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            RpcError(StatusCode.FAILED_PRECONDITION, "Config: broken"),
            StatusCode.FAILED_PRECONDITION,
            "Config: broken",
        ),
        (PeerError("the hub is away"), StatusCode.UNAVAILABLE, "the hub is away"),
        (ExceptionGroup("", [PeerError("the hub is away")]), StatusCode.UNAVAILABLE, "the hub is away"),
        (Bug("oops"), StatusCode.INTERNAL, "a bug in the server: Bug"),
        (ZeroDivisionError("oops"), StatusCode.INTERNAL, "a bug in the server: ZeroDivisionError"),
    ],
)
async def test_an_error_becomes_a_status(error: Exception, code: StatusCode, message: str):
    with capture_logs():
        async with Answering(unary(raising(error))) as answering:
            call = await answering.ask(REQUEST)
    assert call.failed_with == (code, message)
    assert not call.ended


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "events"),
    [
        (RpcError(StatusCode.NOT_FOUND, ""), []),
        (PeerError("away"), [("call failed", "warning")]),
        (ZeroDivisionError("oops"), [("call crashed", "error")]),
    ],
)
async def test_what_is_no_answer_is_logged_once_with_who_called(error: Exception, events: list):
    with capture_logs() as logs:
        async with Answering(unary(raising(error))) as answering:
            await answering.ask(REQUEST)
    assert [(log["event"], log["log_level"]) for log in logs] == events
    assert {(log["method"], log["agent_id"]) for log in logs} <= {(REGISTER.path, CONTEXT)}


@pytest.mark.asyncio
async def test_an_unknown_method_is_unimplemented_and_shown_short_and_printable():
    async with Answering(unary()) as answering:
        assert answering.accept("/no/Such\n\x1b" + "x" * 1000) is NOBODY
        call = answering.call
    assert call.failed_with == (StatusCode.UNIMPLEMENTED, "unknown method /no/Such??" + "x" * 246)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("requests", "code"),
    [
        ([], StatusCode.INVALID_ARGUMENT),
        ([b"\xff"], StatusCode.INVALID_ARGUMENT),
        ([REQUEST, REQUEST], StatusCode.INVALID_ARGUMENT),
        ([bytes(MAX_REQUEST_BYTES + 1)], StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_anything_but_one_good_request_has_a_status(requests: list[bytes], code: StatusCode):
    def never() -> object:
        raise AssertionError("never called")

    async with Answering(unary(never)) as answering:
        call = await answering.ask(*requests)
    assert call.failed_with is not None
    assert call.failed_with[0] is code
    assert call.sent == []


@pytest.mark.asyncio
async def test_a_second_request_cancels_what_the_first_has_begun():
    async with Answering((GET_CONFIGURATION, forever)) as answering:
        await answering.ask(b"", end=False)
        call = await answering.ask(b"", end=False)
        assert not answering.tasks._tasks
    assert call.failed_with == (StatusCode.INVALID_ARGUMENT, "a second request")


@pytest.mark.asyncio
async def test_a_good_request_after_a_bad_one_begins_nothing():
    begun: list[int] = []

    async def answer(context: int, _request) -> object:
        begun.append(context)
        return REGISTER.response()

    async with Answering((REGISTER, answer)) as it:
        call = await it.ask(b"\xff", REQUEST)
        assert call.failed_with is not None
        assert call.failed_with[0] is StatusCode.INVALID_ARGUMENT
        assert begun == []


@pytest.mark.asyncio
async def test_empty_requests_that_wait_are_counted():
    async def read_one(_context: int, requests) -> AsyncIterator:
        yield await anext(requests)
        await asyncio.Event().wait()

    async with Answering((ECHO, read_one)) as it:
        await it.ask(*[b""] * (MAX_WAITING_MESSAGES + 1), end=False)
        assert it.call.failed_with is not None
        assert it.call.failed_with[0] is StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.asyncio
async def test_a_caller_that_hangs_up_cancels_its_call():
    cancelled = asyncio.Event()

    async def watched(_context: int, _request) -> AsyncIterator:
        try:
            await asyncio.Event().wait()
            yield GET_CONFIGURATION.response()
        finally:
            cancelled.set()

    async with Answering((GET_CONFIGURATION, watched)) as answering:
        await answering.ask(b"")
        answering.handler.failed(StatusCode.CANCELLED, "")
        await asyncio.wait_for(cancelled.wait(), 1)  # noqa: TID251
    assert answering.call.failed_with is None


@pytest.mark.asyncio
async def test_responses_wait_until_the_carrier_takes_them():
    async def configurations(_context: int, _request) -> AsyncIterator:
        for commit in ("a", "b"):
            yield GET_CONFIGURATION.response(commit_id=commit)

    async with Answering((GET_CONFIGURATION, configurations), call=RecordingCall(full=True)) as answering:
        call = await answering.ask(b"")
        assert call.sent == [response("a")]
        call.full = False
        answering.handler.writable()
        await turns()
    assert (call.sent, call.ended) == ([response("a"), response("b")], True)


# -- bidi ------------------------------------------------------------------------------------------------------------


async def echo(_context: int, requests: AsyncIterator) -> AsyncIterator:
    async for one in requests:
        yield GET_CONFIGURATION.response(commit_id=one.commit_id)


@pytest.mark.asyncio
async def test_a_bidi_handler_hears_and_answers_until_the_caller_ends():
    async with Answering((ECHO, echo)) as answering:
        call = await answering.ask(request("a"), end=False)
        assert (call.sent, call.ended) == ([response("a")], False)
        await answering.ask(request("b"), request("c"))
    assert (call.sent, call.ended) == ([response("a"), response("b"), response("c")], True)


@pytest.mark.asyncio
async def test_a_bidi_handler_may_speak_before_it_is_asked():
    async def greet(_context: int, _requests: AsyncIterator) -> AsyncIterator:
        yield GET_CONFIGURATION.response(commit_id="hello")

    async with Answering((ECHO, greet)) as answering:
        call = await answering.ask(end=False)
    assert (call.sent, call.ended) == ([response("hello")], True)


@pytest.mark.asyncio
async def test_a_request_is_taken_off_the_window_when_the_handler_takes_it():
    async with Answering((ECHO, echo), call=RecordingCall(full=True)) as answering:
        call = await answering.ask(request("a"), request("bb"))
        assert call.taken == [len(request("a"))]
        answering.handler.writable()
        await turns()
        assert call.taken == [len(request("a")), len(request("bb"))]


@pytest.mark.asyncio
async def test_a_malformed_request_among_good_ones_ends_the_call():
    async with Answering((ECHO, echo)) as answering:
        call = await answering.ask(request("a"), b"\xff", request("b"))
    assert call.sent == [response("a")]
    assert call.failed_with is not None
    assert call.failed_with[0] is StatusCode.INVALID_ARGUMENT


def test_requests_of_a_bidi_call_may_be_long_and_others_not():
    server = CallServer([(ECHO, echo), unary()])
    limits = [server.max_request_bytes(path) for path in (ECHO.path, REGISTER.path, "/no/Such")]
    assert limits == [MAX_MESSAGE_BYTES, MAX_REQUEST_BYTES, MAX_REQUEST_BYTES]


# -- ends of ours ----------------------------------------------------------------------------------------------------


async def yielding(_context: int, _request) -> AsyncIterator:
    while True:
        yield GET_CONFIGURATION.response(commit_id="a")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("method", "handler", "asked", "sent"),
    [
        (GET_CONFIGURATION, forever, 10, []),
        (GET_CONFIGURATION, forever, 0, []),
        (GET_CONFIGURATION, yielding, 10, [response("a")]),
    ],
)
async def test_a_long_call_ends_well_wherever_its_handler_is(
    method: Method, handler, asked: int, sent: list[bytes]
):
    async with Answering((method, handler), call=RecordingCall(full=True)) as answering:
        answering.handler.message_received(b"")
        for _ in range(asked):
            await asyncio.sleep(0)
        answering.server.end_long_calls()
        assert (answering.call.sent, answering.call.ended) == (sent, True)
        await turns()
        assert not answering.tasks._tasks
    assert (answering.call.sent, answering.call.failed_with) == (sent, None)


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [PeerError("the tracker is away"), None])
async def test_whatever_a_handler_does_while_it_is_ended_well_changes_nothing(error: Exception | None):
    async def clumsy(_context: int, _request) -> AsyncIterator:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            yield GET_CONFIGURATION.response()
            if error is not None:
                raise error from None

    with capture_logs():
        async with Answering((GET_CONFIGURATION, clumsy)) as answering:
            await answering.ask(b"")
            answering.server.end_long_calls()
            await turns()
    assert (answering.call.sent, answering.call.ended, answering.call.failed_with) == ([], True, None)


@pytest.mark.asyncio
async def test_a_long_call_that_was_not_asked_yet_ends_well_too():
    async with Answering((GET_CONFIGURATION, forever)) as answering:
        answering.server.end_long_calls()
    assert answering.call.ended


@pytest.mark.asyncio
async def test_only_the_calls_that_are_meant_end_and_those_that_work_never():
    for service in [(REGISTER, slow), (ECHO, forever)]:
        async with Answering(service) as answering:
            await answering.ask(b"")
            answering.server.end_long_calls()
            assert not answering.call.is_over
    async with Answering((GET_CONFIGURATION, forever)) as answering:
        await answering.ask(b"")
        answering.server.end_long_calls(lambda context: context != CONTEXT)
        assert not answering.call.is_over


@pytest.mark.asyncio
@pytest.mark.parametrize("service", [(REGISTER, slow), (GET_CONFIGURATION, forever), (ECHO, forever)])
async def test_the_calls_of_some_are_cut_with_a_status_and_those_of_others_are_not(service: Service[int]):
    async with Answering(service) as answering:
        await answering.ask(b"", end=False)
        answering.server.fail_calls(lambda context: context != CONTEXT, StatusCode.UNAUTHENTICATED, "revoked")
        assert not answering.call.is_over
        answering.server.fail_calls(lambda context: context == CONTEXT, StatusCode.UNAUTHENTICATED, "revoked")
        await turns()
        assert not answering.tasks._tasks
    assert answering.call.failed_with == (StatusCode.UNAUTHENTICATED, "revoked")


def test_a_method_that_waits_for_something_new_is_long():
    server = CallServer([(ECHO, echo), (GET_CONFIGURATION, forever), unary()])
    paths = (ECHO.path, GET_CONFIGURATION.path, REGISTER.path, "/no/Such")
    assert [server.is_long(path) for path in paths] == [False, True, False, False]


@pytest.mark.asyncio
async def test_a_call_that_is_over_is_forgotten():
    async with Answering(unary()) as answering:
        await answering.ask(REQUEST)
        assert not answering.server._open
        answering.handler = answering.accept(REGISTER.path)
        answering.handler.failed(StatusCode.CANCELLED, "")
        assert not answering.server._open


@pytest.mark.asyncio
async def test_a_call_whose_task_is_cancelled_with_the_server_has_a_status():
    async with Answering((GET_CONFIGURATION, forever)) as answering:
        await answering.ask(b"")
        for task in answering.tasks._tasks:
            task.cancel()
        await turns()
    assert answering.call.failed_with == (StatusCode.UNAVAILABLE, "the server stops")


@pytest.mark.asyncio
async def test_a_call_to_a_server_that_stops_has_a_status():
    async with Answering((GET_CONFIGURATION, forever)) as answering:
        pass
    handler = answering.accept(GET_CONFIGURATION.path)
    handler.message_received(b"")
    assert answering.call.failed_with == (StatusCode.UNAVAILABLE, "the server stops")


# -- over a tunnel ---------------------------------------------------------------------------------------------------


class Tunnelled:
    """A server behind kas' end of a pair of tunnels."""

    def __init__(self, service: Service[int], tasks: asyncio.TaskGroup) -> None:
        self.server = CallServer([service])
        self.pair = TunnelPair()
        self.tasks = tasks
        self.heard = RecordingCallHandler()
        self.pair.kas.stream_opened = self._opened  # type: ignore[method-assign]
        self.heard.call = self.call = open_call(self.pair.agent.tunnel, service[0].path, self.heard)

    def _opened(self, _kind, opening: bytes, stream):
        path = opening.decode()
        return answer_call(
            stream,
            lambda call: self.server.accept(path, call, CONTEXT, self.tasks),
            self.server.max_request_bytes(path),
        )

    async def pump(self) -> None:
        for _ in range(10):
            self.pair.pump()
            await asyncio.sleep(0)

    @property
    def streams(self) -> int:
        return self.pair.kas.tunnel.stream_count + self.pair.agent.tunnel.stream_count


@pytest.mark.asyncio
async def test_a_bidi_call_over_a_tunnel_holds_its_caller_back_and_delivers_everything():
    go = asyncio.Event()

    async def waiting(_context: int, requests: AsyncIterator) -> AsyncIterator:
        await go.wait()
        async for one in requests:
            yield GET_CONFIGURATION.response(commit_id=str(len(one.commit_id)))

    async with asyncio.TaskGroup() as tasks:
        tunnelled = Tunnelled((ECHO, waiting), tasks)
        sent = [tunnelled.call.send(request("x" * INITIAL_WINDOW)) for _ in range(4)]
        tunnelled.call.end()
        await tunnelled.pump()
        assert tunnelled.call._stream._queued >= INITIAL_WINDOW
        go.set()
        await tunnelled.pump()
    assert not any(sent)
    messages = [said for word, said in tunnelled.heard.said if word == "message"]
    assert messages == [response(str(INITIAL_WINDOW))] * 4
    assert tunnelled.heard.words()[-1] == "ended"
    assert not tunnelled.streams


@pytest.mark.asyncio
async def test_a_long_call_over_a_tunnel_ends_well_when_kas_drains():
    async with asyncio.TaskGroup() as tasks:
        tunnelled = Tunnelled((GET_CONFIGURATION, forever), tasks)
        tunnelled.call.send(request("a"))
        await tunnelled.pump()
        tunnelled.server.end_long_calls()
        await tunnelled.pump()
    assert tunnelled.heard.said == [("ended", None)]
    assert not tunnelled.streams


@pytest.mark.asyncio
async def test_a_request_over_a_tunnel_is_not_collected_beyond_its_limit():
    async with asyncio.TaskGroup() as tasks:
        tunnelled = Tunnelled((GET_CONFIGURATION, forever), tasks)
        tunnelled.call._stream.send(b"\0" + (MAX_REQUEST_BYTES + 1).to_bytes(4, "big"))
        await tunnelled.pump()
    assert tunnelled.heard.said[0][1][0] is StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.asyncio
async def test_hanging_up_over_a_tunnel_cancels_a_bidi_call():
    async with asyncio.TaskGroup() as tasks:
        tunnelled = Tunnelled((ECHO, echo), tasks)
        await tunnelled.pump()
        tunnelled.call._stream.reset(ResetCode.CANCELLED)
        await tunnelled.pump()
    assert not tunnelled.streams
