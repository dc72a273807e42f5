"""The same surface over TLS, with a certificate of a local authority."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import pytest

from kasbah.kas.http_server.exchange import Client, Exchange, NullExchange
from kasbah.kas.http_server.server import HttpServer, Listen, make_tls_context
from kasbah.kas.http_server.settings import HttpServerSettings
from kasbah.kit.local_ca import LocalCertificates, ensure_local_ca
from kasbah.wire.http1 import RequestHead

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
BODY = b"x" * 3_000_000


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> LocalCertificates:
    return ensure_local_ca(tmp_path_factory.mktemp("ca"), ["127.0.0.1"])


class Counting(NullExchange):
    """Answers with how much it was sent."""

    def __init__(self, client: Client) -> None:
        self.client, self.received = client, 0

    def body_received(self, data: bytes) -> None:
        self.received += len(data)

    def body_ended(self) -> None:
        said = b"%d" % self.received
        self.client.start(b"HTTP/1.1 200 OK\r\n", len(said))
        self.client.write(said)
        self.client.finish()


def route(head: RequestHead, client: Client) -> Exchange:
    if head.has_body:
        client.accept_body()
        return Counting(client)
    body = BODY if head.target == b"/big" else b"secure" if client.secure else b"plain"
    client.start(b"HTTP/1.1 200 OK\r\n", len(body))
    client.write(body)
    client.finish()
    return NullExchange()


@contextlib.asynccontextmanager
async def serve(
    certificates: LocalCertificates, settings: HttpServerSettings | None = None
) -> AsyncIterator[HttpServer]:
    tls = make_tls_context(str(certificates.certificate), str(certificates.key))
    listens = [Listen(host="127.0.0.1", port=0, tls=tls), Listen(host="127.0.0.1", port=0)]
    server, ready = HttpServer(listens, route, settings), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run(ready.set))
        await ready.wait()
        yield server
        running.cancel()


async def connect(
    server: HttpServer, certificates: LocalCertificates
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context(cafile=str(certificates.ca_certificate))
    context.set_alpn_protocols(["h2", "http/1.1"])
    return await asyncio.open_connection(*server.addresses[0], ssl=context)


@pytest.mark.asyncio
async def test_requests_over_tls_are_answered_on_one_connection(certificates):
    async with serve(certificates) as server:
        reader, writer = await connect(server, certificates)
        for _ in range(2):
            writer.write(GET)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
            assert await reader.readexactly(6) == b"secure"
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        writer.close()


@pytest.mark.asyncio
async def test_large_bodies_pass_both_ways(certificates):
    async with serve(certificates) as server:
        reader, writer = await connect(server, certificates)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
        assert (await reader.readuntil(b"3000000")).endswith(b"\r\n\r\n3000000")
        writer.write(GET.replace(b"/ ", b"/big "))
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(BODY)) == BODY
        writer.close()


@pytest.mark.asyncio
async def test_plain_bytes_at_the_tls_address_are_turned_away(certificates):
    async with serve(certificates) as server:
        reader, writer = await asyncio.open_connection(*server.addresses[0])
        writer.write(GET)
        async with asyncio.timeout(5):
            assert b"HTTP" not in await reader.read()
        writer.close()


@pytest.mark.asyncio
async def test_a_handshake_has_a_deadline(certificates):
    async with serve(certificates, HttpServerSettings(head_timeout_s=0.2)) as server:
        reader, writer = await asyncio.open_connection(*server.addresses[0])
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()


@pytest.mark.asyncio
async def test_who_shakes_hands_counts_as_a_stranger(certificates):
    async with serve(certificates, HttpServerSettings(max_strangers=1)) as server:
        _, first = await asyncio.open_connection(*server.addresses[0])
        await asyncio.sleep(0.05)
        reader, second = await asyncio.open_connection(*server.addresses[0])
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        first.close()
        second.close()
        await asyncio.sleep(0.05)
        reader, third = await connect(server, certificates)
        third.write(GET)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        third.close()
