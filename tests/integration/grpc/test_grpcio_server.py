"""Our client, answered by grpcio."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest

from kasbah.wire.rpc import StatusCode
from tests.doubles.grpc_shell import BIDI, FAIL, METADATA, SILENT, STREAM, UNARY, call, connected

pytestmark = pytest.mark.asyncio


class Service(grpc.GenericRpcHandler):
    """The test service as grpcio answers it."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.began = asyncio.Event()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return {
            UNARY: grpc.unary_unary_rpc_method_handler(self.unary),
            STREAM: grpc.unary_stream_rpc_method_handler(self.stream),
            BIDI: grpc.stream_stream_rpc_method_handler(self.bidi),
            FAIL: grpc.unary_unary_rpc_method_handler(self.fail),
            SILENT: grpc.unary_unary_rpc_method_handler(self.silent),
            METADATA: grpc.unary_unary_rpc_method_handler(self.metadata),
        }.get(details.method)

    async def unary(self, request, context):
        return request

    async def stream(self, request, context):
        count, size = (int(word) for word in request.split())
        for _ in range(count):
            yield bytes(size)

    async def bidi(self, requests, context):
        async for request in requests:
            yield request

    async def fail(self, request, context):
        await context.abort(grpc.StatusCode.NOT_FOUND, request.decode())

    async def silent(self, request, context):
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def metadata(self, request, context):
        return repr([tuple(pair) for pair in context.invocation_metadata()]).encode()


@asynccontextmanager
async def grpcio(*, gzip: bool = False) -> AsyncIterator[tuple[int, Service, grpc.aio.Server]]:
    service = Service()
    server = grpc.aio.server(compression=grpc.Compression.Gzip if gzip else None)
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port, service, server
    finally:
        await server.stop(0)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("size", [0, 1, 1024, 100_000, 3_900_000])
async def test_a_unary_call(compress, size):
    message = (bytes(range(256)) * (size // 256 + 1))[:size]
    async with grpcio(gzip=compress) as (port, _, _), connected(port, compress=compress) as client:
        heard = call(client, UNARY, message)
        await heard.over.wait()
    assert (heard.messages, heard.code, heard.reason) == ([message], StatusCode.OK, "")


@pytest.mark.parametrize("gzip", [False, True])
async def test_a_stream_of_answers(gzip):
    async with grpcio(gzip=gzip) as (port, _, _), connected(port) as client:
        heard = call(client, STREAM, b"300 32768")
        await heard.over.wait()
    assert [len(message) for message in heard.messages] == [32768] * 300


@pytest.mark.parametrize("compress", [False, True])
async def test_both_directions_at_once(compress):
    async with grpcio() as (port, _, _), connected(port, compress=compress) as client:
        heard = call(client, BIDI, end=False)
        for i in range(50):
            heard.heard.clear()
            heard.call.send(b"%d" % i * 1000)
            await heard.heard.wait()
            assert heard.messages[-1] == b"%d" % i * 1000
        heard.call.end()
        await heard.over.wait()
        assert heard.code is StatusCode.OK
        assert client.engine.call_count == 0


async def test_metadata_reaches_the_server():
    async with grpcio() as (port, _, _), connected(port) as client:
        heard = call(
            client, METADATA, b"", metadata=(("authorization", "Bearer x"), ("a-key", "1"), ("a-key", "2"))
        )
        await heard.over.wait()
    said = ast.literal_eval(heard.messages[0].decode())
    assert said == [
        ("user-agent", "kasbah-test/1"),
        ("authorization", "Bearer x"),
        ("a-key", "1"),
        ("a-key", "2"),
    ]


async def test_an_error_with_a_message_in_unicode():
    async with grpcio() as (port, _, _), connected(port) as client:
        heard = call(client, FAIL, "größer ☃ 100%".encode())
        await heard.over.wait()
    assert (heard.code, heard.reason) == (StatusCode.NOT_FOUND, "größer ☃ 100%")


async def test_an_unknown_method_is_unimplemented():
    async with grpcio() as (port, _, _), connected(port) as client:
        heard = call(client, "/no.Such/Method", b"")
        await heard.over.wait()
    assert heard.code is StatusCode.UNIMPLEMENTED


async def test_giving_up_cancels_the_handler():
    async with grpcio() as (port, service, _), connected(port) as client:
        heard = call(client, SILENT, b"")
        await service.began.wait()
        heard.call.fail(StatusCode.CANCELLED)
        async with asyncio.timeout(5):
            await service.cancelled.wait()
    assert heard.code is None


async def test_a_message_over_the_limit_is_refused_and_the_next_call_goes_on():
    async with grpcio() as (port, _, _), connected(port) as client:
        heard = call(client, UNARY, bytes(4 * 1024 * 1024 + 1))
        await heard.over.wait()
        assert heard.code is StatusCode.RESOURCE_EXHAUSTED
        again = call(client, UNARY, b"still here")
        await again.over.wait()
    assert again.messages == [b"still here"]


async def test_a_thousand_calls_at_once():
    async with grpcio() as (port, _, _), connected(port) as client:
        first = call(client, UNARY, b"the settings are known")
        await first.over.wait()
        calls = [call(client, UNARY, b"%d" % i) for i in range(1000)]
        for i, heard in enumerate(calls):
            await heard.over.wait()
            assert heard.messages == [b"%d" % i]


async def test_a_server_that_stops_lets_running_calls_finish():
    async with grpcio() as (port, _, server), connected(port) as client, asyncio.TaskGroup() as tasks:
        heard = call(client, BIDI, b"before", end=False)
        await heard.heard.wait()
        tasks.create_task(server.stop(5))
        async with asyncio.timeout(5):
            await client.away.wait()
        assert not client.engine.can_open
        heard.heard.clear()
        heard.call.send(b"after")
        await heard.heard.wait()
        heard.call.end()
        await heard.over.wait()
        assert heard.code is StatusCode.OK
