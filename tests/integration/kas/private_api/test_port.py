"""The private API's port as a stranger sees it, and by TLS and unix sockets as replicas do."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from contextlib import suppress
from pathlib import Path

import pytest

from kasbah.kas.http_server.server import Listen, make_tls_context
from kasbah.kas.private_api.jwt import ReplicaJwt
from kasbah.kas.private_api.routes import InMemoryAgentRoutes
from kasbah.kit.local_ca import ensure_local_ca
from kasbah.wire.native_tunnel.frames import FrameType, frame
from kasbah.wire.stream import StreamKind
from kasbah.wire.websocket import binary_header
from tests.doubles.replica import SECRET, ReplicaDouble, opening_for, replica, serving
from tests.unit.kas.private_api.test_jwt import FORGED

HANDSHAKE = (
    "GET /-/kasbah/private-api HTTP/1.1",
    "Host: kas",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol: kasbah-replica.v1",
)


def good_token() -> bytes:
    return b"Bearer " + ReplicaJwt(SECRET, time.time).sign().encode()


def handshake(*changes: tuple[str, str], authorization: bytes | None = None) -> bytes:
    lines = [line for line in HANDSHAKE if not any(line.startswith(name) for name, _ in changes)]
    lines += [value for _, value in changes if value]
    said = [*(line.encode() for line in lines)]
    said += [b"Authorization: " + (good_token() if authorization is None else authorization)]
    return b"\r\n".join(said) + b"\r\n\r\n"


async def answer(kas: ReplicaDouble, said: bytes) -> bytes:
    """Everything the port says to this until it closes, or says nothing more for a moment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", kas.settings.listens[0].port)
    writer.write(said)
    heard = b""
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(0.3):
            while data := await reader.read(65536):
                heard += data
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return heard


@pytest.mark.asyncio
async def test_no_forged_token_gets_a_connection_and_no_agent_hears_of_it():
    async with replica(InMemoryAgentRoutes()) as kas:
        kas.connect()
        printable = {name: said for name, said in FORGED.items() if said.isascii()}
        assert len(printable) >= 35
        async with asyncio.TaskGroup() as tasks:
            asked = {
                name: tasks.create_task(answer(kas, handshake(authorization=said)))
                for name, said in printable.items()
            }
        for name, task in asked.items():
            status = task.result().partition(b"\r\n")[0]
            assert status in {
                b"HTTP/1.1 401 Unauthorized",
                b"HTTP/1.1 431 Request Header Fields Too Large",
            }, name
        assert not kas.gateway._connections


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ((), b"101 Switching Protocols"),
        ((("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: kasbah.v1"),), b"400 Bad Request"),
        ((("Sec-WebSocket-Key", ""),), b"400 Bad Request"),
        ((("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"),), b"400 Bad Request"),
        ((("Origin", "Origin: https://evil.example"),), b"400 Bad Request"),
        ((("Upgrade", ""),), b"404 Not Found"),
    ],
)
async def test_a_good_token_needs_a_good_handshake(changes: tuple[tuple[str, str], ...], status: bytes):
    async with replica(InMemoryAgentRoutes()) as kas:
        assert (await answer(kas, handshake(*changes))).startswith(b"HTTP/1.1 " + status)


@pytest.mark.asyncio
async def test_there_is_nothing_else_on_this_port():
    async with replica(InMemoryAgentRoutes()) as kas:
        for path in (b"/", b"/-/kubernetes-agent/", b"/-/kasbah/private-api?x"):
            said = handshake().replace(b"/-/kasbah/private-api", path)
            assert (await answer(kas, said)).startswith(b"HTTP/1.1 404 Not Found")


@pytest.mark.asyncio
async def test_a_kas_that_opens_something_else_than_requests_to_agents_is_cut():
    opened = frame(FrameType.OPEN, 2, bytes((StreamKind.RPC, 2)) + b"/a/b")
    async with replica(InMemoryAgentRoutes()) as kas:
        heard = await answer(kas, handshake() + binary_header(len(opened), masked=True) + opened)
        assert b"only the one that dialled" in heard


@pytest.mark.asyncio
async def test_a_request_that_names_no_agent_is_reset_and_nothing_else_breaks():
    openings = [opening_for(0), b"", b"\xff\xff", opening_for(8)]
    said = b"".join(
        frame(FrameType.OPEN, 2 * number + 2, bytes((StreamKind.KUBERNETES_API, 2)) + opening)
        for number, opening in enumerate(openings)
    )
    async with replica(InMemoryAgentRoutes()) as kas:
        kas.connect()
        heard = await answer(kas, handshake() + binary_header(len(said), masked=True) + said)
        assert heard.count(b"envelope") == 3
        assert b"no tunnel of this agent is here" in heard


@pytest.mark.asyncio
async def test_a_silent_stranger_is_cut_after_ten_seconds():
    async with replica(InMemoryAgentRoutes()) as kas:
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", kas.settings.listens[0].port)
        async with asyncio.timeout(15):
            await reader.read()
        assert 9 < time.monotonic() - began < 12
        writer.close()


@pytest.mark.asyncio
async def test_over_tls_by_the_name_that_every_replica_has(tmp_path: Path):
    made = ensure_local_ca(tmp_path, ["kas.internal"])
    trusting = ssl.create_default_context(cafile=str(made.ca_certificate))
    server_tls = make_tls_context(str(made.certificate), str(made.key))
    routes = InMemoryAgentRoutes()
    tls = {"server_tls": server_tls, "tls": trusting}
    async with (
        replica(routes, **tls, server_name="kas.internal") as one,
        replica(routes, **tls, server_name="kas.internal") as two,
        replica(routes, **tls, server_name="another.name", route_wait_s=0.2) as three,
    ):
        assert one.url.startswith("grpcs://")
        one.connect()
        assert await (await two.ask(body=b"x" * 300_000)).over is None
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await three.ask()


@pytest.mark.asyncio
async def test_over_a_unix_socket(tmp_path: Path):
    routes, path = InMemoryAgentRoutes(), tmp_path / "private.sock"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        there = ReplicaDouble(routes, Listen(host="", port=0, sockets=[taken]), f"unix://{path}")
        async with serving(there), replica(routes) as here:
            there.connect()
            assert await (await here.ask(body=b"x")).over is None


@pytest.mark.asyncio
async def test_an_old_connection_is_replaced_and_nobody_notices():
    routes = InMemoryAgentRoutes()
    async with replica(routes, max_connection_age_s=0.5) as one, replica(routes) as two:
        one.connect()
        long = await two.ask(end=False)
        connections = set(two.replicas._open)
        async with asyncio.timeout(8):
            while set(two.replicas._open) <= connections:
                assert await (await two.ask()).over is None
                await asyncio.sleep(0.05)
        await long.say(b"still here")
        assert long.stream is not None
        long.stream.end()
        async with asyncio.timeout(5):
            assert await long.over is None


@pytest.mark.asyncio
async def test_an_idle_connection_is_closed():
    routes = InMemoryAgentRoutes()
    async with replica(routes) as one, replica(routes, idle_s=0.5) as two:
        one.connect()
        assert await (await two.ask()).over is None
        async with asyncio.timeout(5):
            while two.replicas._open:  # noqa: ASYNC110 - real sockets, no event to wait for
                await asyncio.sleep(0.05)
        assert await (await two.ask()).over is None
