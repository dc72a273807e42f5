"""Relays between a recording stream and a real server on loopback: back-pressure, pipes, ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from kasbah.agentk.kubernetes_api.module import KubernetesApi
from kasbah.agentk.module import LatestValue
from kasbah.kube.access import ClusterAccess
from kasbah.kube.pool import UpstreamPool
from kasbah.wire.identity import AsAgent
from kasbah.wire.kubernetes_api import RequestEnvelope, encode_envelope
from kasbah.wire.stream import ResetCode, StreamHandler, StreamKind
from tests.doubles.loopback_server import answer, answer_everything, read_head, serving
from tests.doubles.recording_stream import RecordingStream


@contextlib.asynccontextmanager
async def relaying(port: int) -> AsyncIterator[KubernetesApi]:
    access = ClusterAccess(host="127.0.0.1", port=port)
    api = KubernetesApi(access, UpstreamPool(access), lambda: 7)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(api.run(LatestValue()))
        await asyncio.sleep(0.01)
        yield api
        task.cancel()


def accept(
    api: KubernetesApi, stream: RecordingStream, *lines: str, upgrade: str = "", deadline_ms: int = 0
) -> StreamHandler:
    envelope = RequestEnvelope(
        agent_id=7, grant_id="g", identity=AsAgent(), upgrade=upgrade, deadline_ms=deadline_ms
    )
    head = "\r\n".join([*(lines or ("GET / HTTP/1.1",)), "", ""]).encode()
    return api.accept(StreamKind.KUBERNETES_API, encode_envelope(envelope) + head, stream)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


@pytest.mark.asyncio
async def test_an_event_of_a_watch_arrives_when_it_happens():
    go_on = asyncio.Event()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await go_on.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

    async with serving(watch) as server, relaying(server.port) as api:
        stream = RecordingStream()
        accept(api, stream)
        await until(lambda: stream.data == b"one")
        go_on.set()
        await until(lambda: stream.ended)
        assert stream.data == b"onetwo"


@pytest.mark.asyncio
async def test_a_reader_that_stalls_stops_the_server():
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64000000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x" * 64_000)
            await writer.drain()
            sent += 64_000

    async with serving(pour) as server, relaying(server.port) as api:
        stream = RecordingStream(full=True)
        handler = accept(api, stream)
        await asyncio.sleep(0.3)
        assert len(stream.data) < 1_000_000
        assert sent < 16_000_000  # what the two kernels' buffers hold
        stream.full = False
        handler.writable()
        await until(lambda: stream.ended)
        assert len(stream.data) == 64_000_000


@pytest.mark.asyncio
async def test_a_server_that_reads_nothing_holds_the_window_shut():
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async with serving(deaf) as server, relaying(server.port) as api:
        stream = RecordingStream()
        handler = accept(api, stream, "PUT / HTTP/1.1", "Transfer-Encoding: chunked")
        await until(lambda: api.connections.open_connections)
        given = 0
        while given - stream.taken < 256 * 1024:  # an honest peer stops here
            handler.data_received(b"x" * 16_384)
            given += 16_384
            await asyncio.sleep(0)
            assert given < 32_000_000
        handler.reset(ResetCode.CANCELLED, "")


@pytest.mark.asyncio
async def test_an_upload_arrives_whole():
    async def measure(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        assert b"Content-Length: 1000000" in head
        body = await reader.readexactly(1_000_000)
        writer.write(answer(b"%d" % body.count(b"x")))
        await reader.read()

    async with serving(measure) as server, relaying(server.port) as api:
        stream = RecordingStream()
        handler = accept(api, stream, "PUT / HTTP/1.1", "Content-Length: 1000000")
        for number in range(1, 101):
            handler.data_received(b"x" * 10_000)
            await until(lambda given=number * 10_000: given - stream.taken < 200_000)
        handler.ended()
        await until(lambda: stream.ended)
        assert (stream.data, stream.taken) == (b"1000000", 1_000_000)


@pytest.mark.asyncio
async def test_an_upgrade_is_a_pipe_with_two_ends():
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        assert b"Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n" in head
        writer.write(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nhello ")
        writer.write(await reader.read())

    async with serving(echo) as server, relaying(server.port) as api:
        stream = RecordingStream()
        handler = accept(api, stream, "POST /exec HTTP/1.1", "Content-Length: 0", upgrade="SPDY/3.1")
        await until(lambda: stream.data == b"hello ")
        handler.data_received(b"echo")
        handler.ended()
        await until(lambda: stream.ended)
        assert stream.data == b"hello echo"
        assert api.open_requests == 0


@pytest.mark.asyncio
async def test_a_client_that_hangs_up_is_noticed_by_the_server():
    gone = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.set()

    async with serving(hold) as server, relaying(server.port) as api:
        handler = accept(api, RecordingStream())
        await until(lambda: server.connections)
        await asyncio.sleep(0.05)
        handler.reset(ResetCode.CANCELLED, "client gone")
        async with asyncio.timeout(2):
            await gone.wait()


@pytest.mark.asyncio
async def test_a_server_that_dies_in_an_answer_is_said_so():
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    async with serving(half) as server, relaying(server.port) as api:
        stream = RecordingStream()
        accept(api, stream)
        await until(lambda: stream.reset_with)
        assert stream.reset_with is not None
        assert stream.reset_with[0] == ResetCode.UPSTREAM_FAILED
        assert not stream.ended


@pytest.mark.asyncio
async def test_a_server_that_is_away_is_said_so_within_milliseconds():
    async with serving(answer_everything) as server:
        port = server.port
    async with relaying(port) as api:
        stream = RecordingStream()
        accept(api, stream)
        async with asyncio.timeout(0.5):
            await until(lambda: stream.reset_with)
    assert stream.reset_with == (
        ResetCode.UPSTREAM_UNREACHABLE,
        f"dial tcp 127.0.0.1:{port}: connect: connection refused",
    )


@pytest.mark.asyncio
async def test_a_server_that_does_not_answer_runs_into_the_deadline():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as server, relaying(server.port) as api:
        stream = RecordingStream()
        accept(api, stream, deadline_ms=100)
        await until(lambda: stream.reset_with)
    assert stream.reset_with is not None
    assert stream.reset_with[0] == ResetCode.DEADLINE


@pytest.mark.asyncio
async def test_a_read_survives_a_server_that_was_restarted():
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer(b"ok"))
        if server.connections == 1:
            await read_head(reader)  # takes the second request and dies

    async with serving(once) as server, relaying(server.port) as api:
        for _ in range(2):
            stream = RecordingStream()
            accept(api, stream)
            await until(lambda stream=stream: stream.ended or stream.reset_with)
            assert stream.data == b"ok"
        assert server.connections == 2
