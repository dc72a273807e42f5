"""Our server, called by grpcio."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest

from kasbah.wire.grpc.engine import GrpcLimits
from tests.doubles.grpc_shell import BIDI, FAIL, METADATA, SILENT, STREAM, UNARY, serving

pytestmark = pytest.mark.asyncio

OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]


@asynccontextmanager
async def channel(
    port: int, *options: tuple[str, object], gzip: bool = False
) -> AsyncIterator[grpc.aio.Channel]:
    compression = grpc.Compression.Gzip if gzip else None
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{port}", options=[*OPTIONS, *options], compression=compression
    ) as opened:
        yield opened


@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize("size", [0, 1, 1024, 100_000, 3_900_000])
async def test_a_unary_call(gzip, size):
    message = (bytes(range(256)) * (size // 256 + 1))[:size]
    async with serving() as (port, _, _), channel(port, gzip=gzip) as opened:
        assert await opened.unary_unary(UNARY)(message) == message


@pytest.mark.parametrize("gzip", [False, True])
async def test_a_stream_of_answers(gzip):
    async with serving() as (port, _, _), channel(port, gzip=gzip) as opened:
        answers = [len(answer) async for answer in opened.unary_stream(STREAM)(b"300 32768")]
    assert answers == [len(str(i)) + 32768 for i in range(300)]


@pytest.mark.parametrize("gzip", [False, True])
async def test_both_directions_at_once(gzip):
    async with serving() as (port, _, _), channel(port, gzip=gzip) as opened:
        call = opened.stream_stream(BIDI)()
        for i in range(50):
            await call.write(b"%d" % i * 1000)
            assert await call.read() == b"%d" % i * 1000
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_metadata_reaches_the_handler_in_order_and_without_what_is_grpcs():
    metadata = (("authorization", "Bearer glagent-x"), ("a-key", "1"), ("a-key", "2"), ("some-bin", b"\0\1"))
    async with serving() as (port, _, _), channel(port) as opened:
        answer = await opened.unary_unary(METADATA)(b"", metadata=metadata, timeout=5)
    said = ast.literal_eval(answer.decode())
    assert [pair for pair in said if pair[0] != "user-agent"] == [
        ("authorization", "Bearer glagent-x"),
        ("a-key", "1"),
        ("a-key", "2"),
    ]


async def test_an_error_with_a_message_in_unicode():
    async with serving() as (port, _, _), channel(port) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await opened.unary_unary(FAIL)("größer ☃ 100%".encode())
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    assert error.value.details() == "größer ☃ 100%"


async def test_an_unknown_method_is_unimplemented():
    async with serving() as (port, _, _), channel(port) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await opened.unary_unary("/no.Such/Method")(b"")
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_deadline_cancels_the_call_on_both_sides():
    async with serving() as (port, _, log), channel(port) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await opened.unary_unary(SILENT)(b"", timeout=0.1)
        assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert await log.get() == f"{SILENT} CANCELLED"


async def test_a_caller_that_gives_up_is_heard():
    async with serving() as (port, shells, log), channel(port) as opened:
        call = opened.stream_stream(BIDI)()
        await call.write(b"x")
        await call.read()
        call.cancel()
        assert await log.get() == f"{BIDI} CANCELLED"
        assert shells[0].connection.engine.call_count == 0


async def test_a_message_over_the_limit_fails_its_call_alone():
    async with serving() as (port, _, _), channel(port) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await opened.unary_unary(UNARY)(bytes(4 * 1024 * 1024 + 1))
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await opened.unary_unary(UNARY)(b"still here") == b"still here"


async def test_a_bomb_fails_its_call_alone():
    async with serving() as (port, _, _), channel(port, gzip=True) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await opened.unary_unary(UNARY)(bytes(64 * 1024 * 1024))
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await opened.unary_unary(UNARY)(b"still here") == b"still here"


async def test_a_thousand_calls_at_once():
    async with serving() as (port, shells, _), channel(port) as opened:
        calls = [opened.stream_stream(BIDI)() for _ in range(1000)]

        async def exchange(call, i):
            await call.write(b"%d" % i)
            assert await call.read() == b"%d" % i

        async with asyncio.TaskGroup() as tasks:
            for i, call in enumerate(calls):
                tasks.create_task(exchange(call, i))
        assert sum(shell.connection.engine.call_count for shell in shells) == 1000
        async with asyncio.TaskGroup() as tasks:
            for call in calls:
                tasks.create_task(call.done_writing())
        for call in calls:
            assert await call.code() is grpc.StatusCode.OK
        assert sum(shell.connection.engine.call_count for shell in shells) == 0


async def test_going_away_lets_running_calls_finish_and_the_next_go_elsewhere():
    async with serving() as (port, shells, _), channel(port) as opened:
        call = opened.stream_stream(BIDI)()
        await call.write(b"before")
        assert await call.read() == b"before"
        shells[0].connection.engine.go_away("old age")
        await asyncio.sleep(0.05)
        await call.write(b"after")
        assert await call.read() == b"after"
        assert await opened.unary_unary(UNARY)(b"new") == b"new"
        assert len(shells) == 2
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
        async with asyncio.timeout(5):
            await shells[0].lost.wait()


async def test_a_client_that_pings_often_is_not_punished():
    pinging = [
        ("grpc.keepalive_time_ms", 10),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    async with serving() as (port, shells, _), channel(port, *pinging) as opened:
        call = opened.stream_stream(BIDI)()
        await call.write(b"x")
        await call.read()
        await asyncio.sleep(0.3)
        await call.write(b"y")
        assert await call.read() == b"y"
        assert len(shells) == 1
        call.cancel()


async def test_our_pings_are_answered():
    async with serving(limits=GrpcLimits(keepalive_s=1.0)) as (port, shells, _), channel(port) as opened:
        await opened.unary_unary(UNARY)(b"x")
        connection = shells[0].connection
        for now in range(10, 60):  # silent for fifty seconds, but for answers
            connection.tick(float(now))
            await asyncio.sleep(0.02)
        assert not connection.failure
        assert await opened.unary_unary(UNARY)(b"y") == b"y"
