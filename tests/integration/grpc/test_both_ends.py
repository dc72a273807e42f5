"""Our client on our server, over sockets: plain, and in a WebSocket as agents behind proxies do it."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.wire.rpc import StatusCode
from tests.doubles.grpc_shell import BIDI, FAIL, SILENT, STREAM, UNARY, call, connected, serving

pytestmark = [pytest.mark.asyncio, pytest.mark.parametrize("websocket", [False, True])]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("size", [0, 5, 3_900_000])
async def test_a_unary_call(websocket, compress, size):
    message = bytes(size)
    async with (
        serving(websocket=websocket) as (port, _, _),
        connected(port, websocket=websocket, compress=compress) as client,
    ):
        heard = call(client, UNARY, message)
        await heard.over.wait()
    assert (heard.messages, heard.code) == ([message], StatusCode.OK)


async def test_a_long_answer_beside_many_small_ones(websocket):
    async with (
        serving(websocket=websocket) as (port, _, _),
        connected(port, websocket=websocket) as client,
    ):
        long = call(client, STREAM, b"1000 32768")
        small = [call(client, BIDI, b"%d" % i) for i in range(50)]
        for heard in small:
            await heard.over.wait()
        assert not long.over.is_set()
        await long.over.wait()
    assert len(long.messages) == 1000


async def test_the_connection_lost_fails_every_call(websocket):
    async with (
        serving(websocket=websocket) as (port, shells, log),
        connected(port, websocket=websocket) as client,
    ):
        silent = [call(client, SILENT, b"") for _ in range(10)]
        failed = call(client, FAIL, b"why")
        await failed.over.wait()
        shells[0].connection.abort("the test says so")
        for heard in silent:
            await heard.over.wait()
            assert heard.code is StatusCode.UNAVAILABLE
        async with asyncio.timeout(5):
            await shells[0].lost.wait()
    assert failed.reason == "why"
    assert [log.get_nowait() for _ in range(10)] == [f"{SILENT} CANCELLED"] * 10
