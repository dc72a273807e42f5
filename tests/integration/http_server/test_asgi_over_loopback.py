"""The bridge with a small application, over real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kasbah.kas.http_server.settings import HttpServerSettings

HEAD = b"%s HTTP/1.1\r\nHost: kasbah\r\n%s\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the method, the raw path and the body, in one piece or chunk by chunk."""
    chunked = scope["path"] == "/chunked"
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    said = scope["method"].encode() + b" " + scope["raw_path"] + b" "
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        said += message.get("body", b"")
        if chunked and message["more_body"]:
            await send({"type": "http.response.body", "body": said, "more_body": True})
            said = b""
        if not message["more_body"]:
            await send({"type": "http.response.body", "body": said, "more_body": False})
            return


@pytest.mark.asyncio
async def test_a_get_is_answered_with_a_length_and_a_date(application_server):
    async with application_server(echo) as running:
        answer = await running.dialogue(HEAD % (b"GET /a%2Fb?x=1", b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nDate: ")
    assert b"Content-Length: 11" in head
    assert body == b"GET /a%2Fb "


@pytest.mark.asyncio
async def test_pipelined_requests_are_answered_in_order(application_server):
    requests = b"".join(HEAD % (b"GET /%d" % n, b"") for n in range(5))
    async with application_server(echo) as running:
        answer = await running.dialogue(requests + HEAD % (b"GET /last", b"Connection: close\r\n"))
    positions = [answer.index(b"GET /%d " % n) for n in range(5)]
    assert positions == sorted(positions)
    assert answer.endswith(b"GET /last ")


@pytest.mark.asyncio
async def test_a_chunked_body_reaches_the_application_and_the_next_request_too(application_server):
    request = HEAD % (b"POST /x", b"Transfer-Encoding: chunked\r\n") + b"5\r\nhello\r\n0\r\nT: 1\r\n\r\n"
    async with application_server(echo) as running:
        answer = await running.dialogue(request + HEAD % (b"GET /y", b"Connection: close\r\n"))
    assert b"POST /x hello" in answer
    assert answer.endswith(b"GET /y ")


@pytest.mark.asyncio
async def test_100_continue_is_said_when_the_application_reads(application_server):
    async with application_server(echo) as running:
        reader, writer = await asyncio.open_connection(running.host, running.port)
        writer.write(HEAD % (b"PUT /x", b"Expect: 100-continue\r\nContent-Length: 2\r\n"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        writer.close()


@pytest.mark.asyncio
async def test_head_has_the_length_and_no_body(application_server):
    async with application_server(echo) as running:
        answer = await running.dialogue(HEAD % (b"HEAD /", b"Connection: close\r\n"))
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.asyncio
async def test_a_large_body_streams_both_ways(application_server):
    body = bytes(range(256)) * 16384
    head = HEAD % (b"POST /chunked", b"Content-Length: %d\r\nConnection: close\r\n" % len(body))
    async with application_server(echo) as running:
        reader, writer = await asyncio.open_connection(running.host, running.port)
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(reader.read())
            writer.write(head + body)
            await writer.drain()
        writer.close()
    assert len(answer.result()) > len(body)


@pytest.mark.asyncio
async def test_a_body_nobody_reads_is_held_back(application_server):
    seen = asyncio.Event()

    async def never_reads(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        seen.set()
        await asyncio.sleep(10)

    async with application_server(never_reads) as running:
        _, writer = await asyncio.open_connection(running.host, running.port)
        writer.write(HEAD % (b"POST /", b"Content-Length: 100000000\r\n"))
        writer.write(b"x" * 64)
        await seen.wait()
        writer.write(b"x" * 50_000_000)
        await asyncio.sleep(0.2)
        unsent = writer.transport.get_write_buffer_size()
        writer.transport.abort()
    assert unsent > 30_000_000


@pytest.mark.asyncio
async def test_a_client_that_leaves_is_a_disconnect(application_server):
    messages: asyncio.Queue[str] = asyncio.Queue()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        messages.put_nowait("ready")
        messages.put_nowait((await receive())["type"])

    async with application_server(waits, HttpServerSettings(half_close_s=0.1)) as running:
        _, writer = await asyncio.open_connection(running.host, running.port)
        writer.write(HEAD % (b"GET /", b""))
        assert await messages.get() == "ready"
        writer.transport.abort()
        assert await messages.get() == "http.disconnect"


@pytest.mark.asyncio
async def test_a_crash_before_the_answer_is_a_500_and_the_server_lives(application_server):
    async def crashes(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError(scope["path"])

    async with application_server(crashes) as running:
        for _ in range(2):
            answer = await running.dialogue(HEAD % (b"GET /", b"Connection: close\r\n"))
            assert answer.startswith(b"HTTP/1.1 500 ")


@pytest.mark.asyncio
async def test_an_early_refusal_of_a_long_body_reaches_the_client(application_server):
    async def refuses(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": []})
        await send({"type": "http.response.body", "body": b"too large"})

    body = b"x" * 1_000_000
    async with application_server(refuses) as running:
        request = HEAD % (b"POST /", b"Content-Length: %d\r\nConnection: close\r\n" % len(body)) + body
        answer = await running.dialogue(request)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"too large")
