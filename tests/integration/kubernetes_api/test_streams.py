"""Watches, upgrades, slow readers and revocation through the proxy, over a real connection."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import pytest

from kasbah.kas.http_server.connection import Connection
from kasbah.kas.hub_client.errors import HubUnavailableError
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.wire.stream import ResetCode, StreamClass
from tests.doubles.loopback_agent import until
from tests.doubles.people import MIA_AS_USER, mia

WATCH = b"GET /api/v1/namespaces/default/pods?watch=1"
EXEC = b"GET /api/v1/namespaces/default/pods/web/exec?command=sh&stdin=true"
KEY = base64.b64encode(b"0123456789abcdef")
ACCEPT = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" + (
    b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n" % KEY
)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %b\r\n" % ACCEPT + (
    b"Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
)
SHORT_LEASE = KubernetesApiSettings(grant_ttl_s=0.5, recheck_s=0.5, lease_s=1.5)


@pytest.mark.asyncio
async def test_a_watch_streams_events_as_they_come(scene_with):
    async with scene_with() as scene, scene.client() as client:
        client.ask(WATCH)
        stream = await scene.stream()
        assert stream.stream_class is StreamClass.WATCH
        assert stream.envelope.deadline_ms == 0
        stream.say_head(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in await client.head()
        stream.say(b'{"type":"ADDED"}\n')
        assert await client.reader.readline() == b"11\r\n"
        assert await client.reader.readline() == b'{"type":"ADDED"}\n'


@pytest.mark.asyncio
async def test_an_exec_is_spliced_both_ways_after_101(scene_with):
    async with scene_with() as scene, scene.client() as client:
        client.ask(EXEC, UPGRADE)
        stream = await scene.stream()
        assert stream.envelope.upgrade == "websocket"
        assert stream.stream_class is StreamClass.KEYSTROKE
        assert b"Sec-WebSocket-Key: " + KEY in stream.request_head
        assert b"pgrade:" not in stream.request_head
        client.writer.write(b"early")
        await asyncio.sleep(0.05)
        assert stream.body == b""
        stream.say_head(SWITCH)
        head = await client.head()
        assert b"Upgrade: websocket\r\n" in head
        assert b"Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n" in head
        client.writer.write(b" late")
        stream.say(b"raw")
        assert await client.reader.readexactly(3) == b"raw"
        await until(lambda: stream.body == b"early late")
        stream.say_end()
        assert await client.rest() == b""


@pytest.mark.asyncio
async def test_after_a_refused_upgrade_no_client_byte_reaches_the_agent(scene_with):
    async with scene_with() as scene, scene.client() as client:
        client.ask(EXEC, UPGRADE)
        stream = await scene.stream()
        client.writer.write(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        stream.answer(b"no", status=b"403 Forbidden")
        answer = await client.answer()
        assert answer.status == 403
        assert b"Connection: close" in answer.head
        client.writer.write(b"more")
        assert await client.rest() == b""
        assert (stream.body, len(scene.agent.streams)) == (b"", 1)


@pytest.mark.asyncio
async def test_a_101_that_proves_nothing_is_refused(scene_with):
    async with scene_with() as scene, scene.client() as client:
        client.ask(EXEC, UPGRADE)
        stream = await scene.stream()
        stream.say_head(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: forged\r\n\r\n")
        assert (await client.answer()).status == 502
        assert stream.reset_with is not None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "headers",
    [
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket, SPDY/3.1\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    ],
)
async def test_odd_upgrades_are_refused(scene_with, headers):
    async with scene_with() as scene, scene.client() as client:
        client.ask(EXEC, headers)
        assert (await client.answer()).status == 400
        assert scene.agent.streams == []


@pytest.mark.asyncio
async def test_an_upgrade_where_none_is_possible_is_refused(scene_with):
    async with scene_with() as scene, scene.client() as client:
        client.ask(b"GET /api/v1/namespaces", UPGRADE)
        assert (await client.answer()).status == 400


@pytest.mark.asyncio
async def test_a_client_that_does_not_read_costs_its_window_and_no_more(scene_with):
    async with scene_with() as scene, scene.client() as client:
        client.ask(WATCH)
        stream = await scene.stream()
        stream.say_head(b"HTTP/1.1 200 OK\r\n\r\n")
        said = 0
        for _ in range(1000):
            if stream.say(b"x" * 16384):
                said += 16384
            else:
                await asyncio.sleep(0.001)
        assert stream.in_flight > stream.window - 16384
        before = said
        await client.reader.read(4_000_000)
        async with asyncio.timeout(5):
            while said < before + 1_000_000:
                said += 16384 if stream.say(b"x" * 16384) else 0
                await client.reader.read(65536)


@pytest.mark.asyncio
async def test_an_agent_that_is_slow_holds_the_client_back(scene_with):
    async with scene_with() as scene, scene.client() as client:
        client.ask(EXEC, UPGRADE)
        stream = await scene.stream()
        stream.say_head(SWITCH)
        await client.head()
        stream.full = True
        client.writer.write(b"x" * 20_000_000)
        await asyncio.sleep(0.2)
        held = len(stream.body)
        assert held < 1_000_000
        stream.full = False
        stream.handler.writable()
        await asyncio.sleep(0.2)
        assert len(stream.body) > held


@pytest.mark.asyncio
@pytest.mark.parametrize("why", ["revoked", "away", "another identity"])
async def test_a_stream_that_is_not_allowed_any_more_is_cut(scene_with, why):
    async with scene_with(SHORT_LEASE) as scene, scene.client() as client:
        client.ask(WATCH)
        stream = await scene.stream()
        stream.say_head(b"HTTP/1.1 200 OK\r\n\r\n")
        await client.head()
        if why == "revoked":
            scene.people.tokens.clear()
        elif why == "away":
            scene.people.failure = HubUnavailableError("refused")
        else:
            scene.people.tokens["good"] = mia(MIA_AS_USER)
        assert await client.rest() == b""
    assert stream.reset_with == (ResetCode.CANCELLED, "not allowed any more")


@pytest.mark.asyncio
async def test_a_stream_that_stays_allowed_goes_on(scene_with):
    async with scene_with(SHORT_LEASE) as scene, scene.client() as client:
        client.ask(WATCH)
        stream = await scene.stream()
        stream.say_head(b"HTTP/1.1 200 OK\r\n\r\n")
        await client.head()
        await asyncio.sleep(2.5)
        assert stream.reset_with is None
        assert scene.people.questions >= 3


@pytest.mark.asyncio
async def test_drain_ends_a_watch_well(scene_with):
    async with scene_with() as scene, scene.client() as client:
        client.ask(WATCH)
        stream = await scene.stream()
        stream.say_head(b"HTTP/1.1 200 OK\r\n\r\n")
        await client.head()
        await scene.server.drain()
        assert await client.rest() == b"0\r\n\r\n"
        assert stream.reset_with is not None


def test_a_connection_costs_little_memory():
    assert "__dict__" not in Connection.__slots__
