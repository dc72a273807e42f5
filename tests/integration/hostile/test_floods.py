"""What costs a peer little and kas much ends the connection that does it, and its neighbours are served all the while."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable

import pytest

from kasbah.wire.methods import CONNECT, REGISTER
from kasbah.wire.websocket import binary_header
from tests.doubles.hostile_grpc import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PRIORITY,
    PUSH,
    RST,
    SETTINGS,
    WINDOW,
    Face,
    block,
    data,
    frame,
    headers,
    hostile,
    indexed,
)
from tests.doubles.running_agentk import until
from tests.integration.hostile.conftest import bystander, kas_among_hostiles, token_of

pytestmark = pytest.mark.asyncio

CALM, FLOW_CONTROL, COMPRESSION, SIZE, PROTOCOL = 0xB, 0x3, 0x9, 0x6, 0x1
TUNNEL = block(CONNECT.path, token_of(2))
NO_TOKEN = block(REGISTER.path, None)
ASKED = REGISTER.request(pod_id=5).SerializeToString()
CANCEL = b"\0\0\0\x08"
ALL_WINDOW = b"\x7f\xff\xff\xff"
ITSELF = b"\xbe"
"""The field that the decoder has remembered last."""
_gzip = zlib.compressobj(9, zlib.DEFLATED, 31)
BOMB = _gzip.compress(bytes(4_000_000)) + _gzip.flush()


def ids(count: int) -> Iterable[int]:
    return range(1, 2 * count, 2)


def many(count: int, make: Callable[[int], bytes]) -> bytes:
    return b"".join(map(make, ids(count)))


def bombs(token: str) -> bytes:
    called = block(CONNECT.path, token, ("grpc-encoding", "gzip"))
    message = b"\1" + len(BOMB).to_bytes(4) + BOMB
    return many(1500, lambda i: headers(i, called) + frame(DATA, i, message))


FLOODS: dict[str, tuple[Callable[[], bytes], int]] = {
    "rapid reset": (lambda: many(20_000, lambda i: headers(i, TUNNEL) + frame(RST, i, CANCEL)), CALM),
    "rapid reset by a stranger": (
        lambda: many(20_000, lambda i: headers(i, NO_TOKEN) + frame(RST, i, CANCEL)),
        CALM,
    ),
    "we are made to reset": (
        lambda: many(20_000, lambda i: headers(i, TUNNEL) + frame(WINDOW, i, ALL_WINDOW)),
        CALM,
    ),
    "calls without a token": (lambda: many(20_000, lambda i: headers(i, NO_TOKEN, end=True)), CALM),
    "tunnels that say nothing": (lambda: many(20_000, lambda i: headers(i, TUNNEL, end=True)), CALM),
    "tunnels that say nonsense": (
        lambda: many(20_000, lambda i: headers(i, TUNNEL) + data(i, b"\xff")),
        CALM,
    ),
    "bombs of a stranger": (lambda: bombs("glagent-nobody"), CALM),
    "bombs of an agent": (lambda: bombs(token_of(2)), CALM),
    "pings": (lambda: frame(PING, 0, bytes(8)) * 30_000, CALM),
    "settings": (lambda: frame(SETTINGS) * 10_000, CALM),
    "windows by settings": (lambda: frame(SETTINGS, 0, b"\0\4\0\0\0\1" * 100) * 1000, CALM),
    "priority": (lambda: frame(PRIORITY, 1, b"\0\0\0\0\x10") * 30_000, CALM),
    "unknown frames": (lambda: frame(0x42, 1) * 30_000, CALM),
    "empty data": (lambda: headers(1, TUNNEL) + frame(DATA, 1) * 30_000, CALM),
    "continuation": (
        lambda: frame(HEADERS, 1, bytes(16_000)) + frame(CONTINUATION, 1, bytes(16_000)) * 100,
        CALM,
    ),
    "empty continuation": (lambda: frame(HEADERS, 1) + frame(CONTINUATION, 1) * 30_000, CALM),
    "a table's field again and again": (
        lambda: many(
            2000, lambda i: headers(i, (indexed("x", "y" * 4000) if i == 1 else b"") + ITSELF * 1000)
        ),
        CALM,
    ),
    "10,000 fields": (lambda: headers(1, TUNNEL + indexed("x", "y") + ITSELF * 10_000), CALM),
    "a table's size again and again": (lambda: headers(1, b"\x20" * 1000 + TUNNEL), COMPRESSION),
    "a field of no table": (lambda: headers(1, b"\xff\xff\xff\x7f"), PROTOCOL),
    "an integer without end": (lambda: headers(1, b"\x7f" + b"\xff" * 10_000), PROTOCOL),
    "the connection's window too wide": (lambda: frame(WINDOW, 0, ALL_WINDOW), FLOW_CONTROL),
    "a call's window too wide by settings": (lambda: frame(SETTINGS, 0, b"\0\4\x80\0\0\0"), FLOW_CONTROL),
    "a frame too large": (lambda: frame(DATA, 1, bytes(16_385)), SIZE),
    "a ping too large": (lambda: frame(PING, 0, bytes(9)), SIZE),
    "a push": (lambda: frame(PUSH, 1, b"\0\0\0\2", END_HEADERS), PROTOCOL),
    "data for nobody": (lambda: frame(DATA, 7, b"x"), PROTOCOL),
    "an even stream": (lambda: headers(2, TUNNEL), PROTOCOL),
}


@pytest.mark.parametrize("what", FLOODS)
async def test_a_flood_ends_its_connection_and_nobody_elses(what: str):
    flood, code = FLOODS[what]
    async with kas_among_hostiles() as scene, bystander(scene):
        before = scene.connections
        async with hostile(scene.port) as peer:
            await asyncio.to_thread(peer.say, flood())
            assert await peer.hung_up()
            assert [error for error, _ in peer.goaways] == [code]
        await until(lambda: scene.connections == before)


@pytest.mark.parametrize("face", ["tls", "websocket", "secure websocket"])
@pytest.mark.parametrize("what", ["rapid reset", "calls without a token", "pings", "continuation"])
async def test_it_does_so_in_every_wrapping(certificates, what: str, face: Face):
    flood, code = FLOODS[what]
    async with (
        kas_among_hostiles(certificates) as scene,
        bystander(scene),
        hostile(scene.port_of(face), face) as peer,
    ):
        await asyncio.to_thread(peer.say, flood())
        assert await peer.hung_up()
        heard = [error for error, _ in peer.goaways]
        assert heard in ([code], [])  # what it had not read when we closed may be torn away


@pytest.mark.parametrize("size", [0, 1])
async def test_a_websocket_of_tiny_pieces_is_closed(size: int):
    """One byte a message, or none, so that kas works seven times for what it is told."""
    piece = binary_header(size, masked=True) + bytes(size)
    async with kas_among_hostiles() as scene, bystander(scene), hostile(scene.port, "websocket") as peer:
        await asyncio.to_thread(peer.say_raw, piece * 300_000)
        assert await peer.hung_up()


async def test_a_flood_of_what_is_allowed_has_its_turns_and_no_more():
    """Half a million windows, each opened by a byte: nothing forbids that, and nobody waits for it."""
    async with kas_among_hostiles() as scene, bystander(scene, patience_s=1), hostile(scene.port) as peer:
        peer.say(headers(1, TUNNEL))
        await asyncio.to_thread(peer.say, frame(WINDOW, 0, b"\0\0\0\1") * 500_000 + frame(PING, 0, bytes(8)))
        await until(lambda: PING in [said[0] for said in peer.frames()[-3:]])


async def test_windows_of_one_byte_and_of_none_hold_up_nobody_else():
    """Many calls open whose answers cannot leave; kas keeps a bounded part of each."""
    async with (
        kas_among_hostiles() as scene,
        bystander(scene),
        hostile(scene.port, settings=b"\0\4\0\0\0\0") as none,
        hostile(scene.port, settings=b"\0\4\0\0\0\1") as one,
    ):
        for peer in (none, one):
            calls = many(
                60, lambda i: headers(i, block(REGISTER.path, token_of(2))) + data(i, ASKED, end=True)
            )
            await asyncio.to_thread(peer.say, calls)
        # Every answer begins with its head; its five bytes wait for a window, or come one at a time.
        await until(lambda: len(none.answers()) == len(one.answers()) == 60)
        assert not any(kind == DATA and payload for kind, _, _, payload in none.frames())
        await until(lambda: [len(said[3]) for said in one.frames() if said[0] == DATA] == [1] * 60)
        await asyncio.to_thread(none.say, many(60, lambda i: frame(WINDOW, i, b"\0\0\0\5")))
        await until(lambda: set(none.statuses().values()) == {0} and len(none.statuses()) == 60)
        assert END_STREAM in {flags & END_STREAM for _, flags, _, _ in none.frames()}
