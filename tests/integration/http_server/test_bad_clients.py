"""Clients that break the rules, over real sockets: a clear answer, a closed connection, a living server."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.kas.http_server.exchange import Client, Exchange, NullExchange
from kasbah.kas.http_server.settings import HttpServerSettings
from kasbah.wire.http1 import RequestHead

routed: list[RequestHead] = []


def answer_ok(head: RequestHead, client: Client) -> Exchange:
    routed.append(head)
    client.start(b"HTTP/1.1 200 OK\r\n", 2, bodiless=head.method == b"HEAD")
    client.write(b"ok")
    client.finish()
    return NullExchange()


@pytest.fixture(autouse=True)
def _nothing_routed() -> None:
    routed.clear()


MALFORMED = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "length and chunks": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
    "another coding": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "chunks in 1.0": b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: a\r\n folded: 1\r\n\r\n",
    "a bare line feed": b"GET / HTTP/1.1\nHost: a\n\n",
    "a bare line feed later": b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    "a NUL": b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n",
    "an underscore": b"GET / HTTP/1.1\r\nHost: a\r\nX_Remote_User: root\r\n\r\n",
    "an absolute target": b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "a fragment": b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "TRACE": b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303"),
    "noise": bytes(range(256)) * 4,
}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", sorted(MALFORMED))
async def test_a_malformed_request_is_refused_and_nothing_is_routed(route_server, name):
    async with route_server(answer_ok) as running:
        answer = await running.dialogue(MALFORMED[name] + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer[:10] in {b"HTTP/1.1 4", b"HTTP/1.1 5"}
    assert answer.count(b"HTTP/1.1 4") + answer.count(b"HTTP/1.1 5") == 1
    assert routed == []


@pytest.mark.asyncio
async def test_a_head_of_a_megabyte_is_refused(route_server):
    async with route_server(answer_ok) as running:
        answer = await running.dialogue(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 1_000_000)
    assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.asyncio
async def test_a_half_sent_head_ends_at_its_deadline(route_server):
    settings = HttpServerSettings(head_timeout_s=0.2)
    async with route_server(answer_ok, settings) as running:
        answer = await running.dialogue(b"GET / HTTP/1.1\r\nHost: a\r\n", half_close=False)
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.asyncio
async def test_a_silent_connection_is_closed(route_server):
    async with route_server(answer_ok, HttpServerSettings(head_timeout_s=0.2)) as running:
        assert await running.dialogue(b"", half_close=False) == b""


@pytest.mark.asyncio
async def test_strangers_have_a_limit(route_server):
    async with route_server(answer_ok, HttpServerSettings(max_strangers=2)) as running:
        pairs = [await asyncio.open_connection(running.host, running.port) for _ in range(3)]
        async with asyncio.timeout(2):
            assert (await pairs[2][0].read()).startswith(b"HTTP/1.1 503 ")
        for _, writer in pairs:
            writer.transport.abort()


@pytest.mark.asyncio
async def test_pipelined_requests_without_end_are_served_within_bounds(route_server):
    async with route_server(answer_ok) as running:
        reader, writer = await asyncio.open_connection(running.host, running.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2000)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
    assert answer.count(b"HTTP/1.1 200 OK") == 2000


@pytest.mark.asyncio
async def test_drain_closes_idle_connections_and_lets_a_running_answer_end(route_server):
    clients: asyncio.Queue[Client] = asyncio.Queue()

    def slowly(head: RequestHead, client: Client) -> Exchange:
        clients.put_nowait(client)
        return NullExchange()

    async with route_server(slowly) as running:
        reader, writer = await asyncio.open_connection(running.host, running.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client = await clients.get()
        async with asyncio.TaskGroup() as group:
            group.create_task(running.server.drain())
            await asyncio.sleep(0.05)
            client.start(b"HTTP/1.1 200 OK\r\n", 0)
            client.finish()
        answer = await reader.read()
        writer.close()
    assert b"Connection: close" in answer
