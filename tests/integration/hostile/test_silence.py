"""Who begins and goes no further is cut when the time to greet is over, on every face of kas, and costs nobody a request."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from kasbah.kas.http_server.settings import HttpServerSettings
from kasbah.kas.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.wire.methods import CONNECT
from tests.doubles.hostile_grpc import (
    ACK,
    HEADERS,
    PREFACE,
    SETTINGS,
    Face,
    HostileGrpc,
    block,
    frame,
    headers,
    hostile,
)
from tests.doubles.running_agentk import until
from tests.integration.hostile.conftest import FACES, bystander, kas_among_hostiles, token_of

pytestmark = pytest.mark.asyncio

GREETING = PREFACE + frame(SETTINGS) + frame(SETTINGS, flags=ACK)
WORDS = {
    "nothing": b"",
    "half a preface": PREFACE[:20],
    "a preface": PREFACE,
    "settings": GREETING,
    "half a frame": GREETING + b"\0\0\4",
    "headers without end": GREETING + frame(HEADERS, 1, block(CONNECT.path, None)),
    "a call without a token": GREETING + headers(1, block(CONNECT.path, None)),
    "a call with a token of nobody": GREETING + headers(1, block(CONNECT.path, "nobody")),
}
HELLO = ssl.create_default_context()


@pytest.mark.parametrize("face", FACES)
async def test_who_begins_and_falls_silent_is_cut(certificates, face: Face):
    async with kas_among_hostiles(certificates) as scene, bystander(scene):
        before = scene.connections

        def begin() -> list[HostileGrpc]:
            peers = [HostileGrpc(scene.port_of(face), face) for _ in WORDS]
            for peer, word in zip(peers, WORDS.values(), strict=True):
                peer.say(word)
            return peers

        peers = await asyncio.to_thread(begin)
        for peer, what in zip(peers, WORDS, strict=True):
            assert await peer.hung_up(6), what
            peer.end()
        await until(lambda: scene.connections == before)
        await until(lambda: scene.strangers <= 1)


def _client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = HELLO.wrap_bio(incoming, outgoing, server_hostname="kas")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("said", [0, 30, 10_000])
async def test_a_tls_handshake_that_stops_is_cut(certificates, said: int):
    async with kas_among_hostiles(certificates) as scene, bystander(scene):
        with socket.create_connection(("127.0.0.1", scene.port_of("tls")), timeout=6) as client:
            await asyncio.to_thread(client.sendall, _client_hello()[:said])
            await until(lambda: len(scene.kas._server._handshakes) == 1)
            await until(lambda: not scene.kas._server._handshakes, 6)
        await until(lambda: scene.strangers <= 1)


async def test_strangers_are_counted_whatever_they_speak(certificates):
    """What one source may hold is the same count by its network; loopback has none (`unit/kas/http_server`)."""
    few, slow = HttpServerSettings(max_strangers=6), ReverseTunnelSettings(greeting_timeout_s=20)
    async with kas_among_hostiles(certificates, slow, http_server=few) as scene:
        peers = [HostileGrpc(scene.port) for _ in range(2)]
        for peer in peers:
            peer.say(GREETING)
        peers += [await asyncio.to_thread(HostileGrpc, scene.port, "websocket") for _ in range(2)]
        peers += [await asyncio.to_thread(HostileGrpc, scene.port_of("tls"), "tls") for _ in range(2)]
        await until(lambda: scene.strangers == 6)
        one_more = HostileGrpc(scene.port)
        assert await one_more.hung_up()
        known = peers[0]
        known.say(headers(1, block(CONNECT.path, token_of(2))))
        await until(lambda: scene.strangers == 5)
        async with hostile(scene.port) as another:
            await until(lambda: scene.strangers == 6)
            assert not another.closed.is_set()
        for peer in [*peers, one_more]:
            peer.end()
