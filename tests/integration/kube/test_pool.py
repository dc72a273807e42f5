"""Connections to a real server on loopback, plain and over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kasbah.kube.access import ClusterAccess, TlsSettings, tls_context
from kasbah.kube.client import KubeClient
from kasbah.kube.connection import UpstreamConnection
from kasbah.kube.errors import UnreachableError, UpstreamError
from kasbah.kube.pool import PoolSettings, UpstreamPool
from kasbah.kube.response_head import ResponseHead
from tests.doubles.certificates import make_certificates
from tests.doubles.loopback_server import answer, answer_everything, read_head, serving


@dataclass(eq=False)
class Get:
    """An exchange that waits for its end."""

    path: str = "/"
    body: bytearray = field(default_factory=bytearray)
    error: UpstreamError | None = None
    stale: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)
    connection: UpstreamConnection | None = None

    def connected(self, connection: UpstreamConnection) -> None:
        self.connection = connection
        head = f"GET {self.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        connection.begin(self, head, request_open=False, bodiless=False, upgrade=b"")

    def answer_began(self, head: ResponseHead) -> None: ...

    def answer_data(self, data: bytes) -> None:
        self.body += data

    def answer_ended(self) -> None:
        self.over.set()

    def exchange_failed(self, error: UpstreamError, *, stale: bool) -> None:
        self.error, self.stale = error, stale
        self.over.set()

    def writing_paused(self) -> None: ...

    def writing_resumed(self) -> None: ...


@contextlib.asynccontextmanager
async def pool_to(access: ClusterAccess, settings: PoolSettings | None = None) -> AsyncIterator[UpstreamPool]:
    pool = UpstreamPool(access, settings)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(pool.run())
        await asyncio.sleep(0)
        yield pool
        task.cancel()


async def get(pool: UpstreamPool, path: str = "/") -> Get:
    exchange = Get(path)
    pool.acquire(exchange)
    await exchange.over.wait()
    return exchange


def plain(port: int) -> ClusterAccess:
    return ClusterAccess(host="127.0.0.1", port=port)


def secure(port: int, tls: TlsSettings, server_name: str = "127.0.0.1") -> ClusterAccess:
    return ClusterAccess(host="127.0.0.1", port=port, tls=tls_context(tls), server_name=server_name)


@pytest.fixture
def server_context(tmp_path: Path) -> ssl.SSLContext:
    """A server that wants a client certificate of the test's authority."""
    made = make_certificates()
    file = tmp_path / "server.pem"
    file.write_bytes(made.server_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=made.ca_pem.decode())
    context.load_cert_chain(file)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


@pytest.mark.asyncio
async def test_one_connection_serves_many_requests():
    async with serving(answer_everything) as server, pool_to(plain(server.port)) as pool:
        bodies = [bytes((await get(pool, f"/{number}")).body) for number in range(20)]
    assert bodies == [b"GET /%d HTTP/1.1" % number for number in range(20)]
    assert server.connections == 1


@pytest.mark.asyncio
async def test_a_burst_waits_for_few_dials_and_all_are_served():
    async with (
        serving(answer_everything) as server,
        pool_to(plain(server.port), PoolSettings(max_dials=4)) as pool,
    ):
        async with asyncio.TaskGroup() as tasks:
            gets = [tasks.create_task(get(pool)) for _ in range(100)]
        assert all(task.result().error is None for task in gets)
        assert pool.open_connections == pool.idle_connections


@pytest.mark.asyncio
async def test_a_server_that_is_not_there_is_known_at_once():
    async with serving(answer_everything) as server:
        port = server.port
    async with pool_to(plain(port)) as pool:
        async with asyncio.timeout(1):
            exchange = await get(pool)
    assert str(exchange.error) == f"dial tcp 127.0.0.1:{port}: connect: connection refused"


@pytest.mark.asyncio
async def test_a_server_that_says_nothing_is_given_up(server_context: ssl.SSLContext):
    del server_context

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    made = make_certificates()
    async with (
        serving(silent) as server,
        pool_to(
            secure(server.port, TlsSettings(ca_pem=made.ca_pem)), PoolSettings(connect_timeout_s=0.1)
        ) as pool,
    ):
        exchange = await get(pool)
    assert "i/o timeout" in str(exchange.error)


@pytest.mark.asyncio
async def test_a_connection_that_the_server_closed_is_not_used_again():
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer(b"one"))

    async with serving(once) as server, pool_to(plain(server.port)) as pool:
        for _ in range(3):
            assert (await get(pool)).body == b"one"
            await asyncio.sleep(0.05)
    assert server.connections == 3


@pytest.mark.asyncio
async def test_a_connection_that_dies_under_a_request_is_stale():
    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer(b"one"))
        await read_head(reader)

    async with serving(twice) as server, pool_to(plain(server.port)) as pool:
        assert (await get(pool)).error is None
        exchange = await get(pool)
        assert (exchange.stale, exchange.error is None) == (True, False)


@pytest.mark.asyncio
async def test_a_client_certificate_is_shown_and_the_servers_is_checked(server_context: ssl.SSLContext):
    made = make_certificates()
    tls = TlsSettings(ca_pem=made.ca_pem, certificate_pem=made.client_pem, key_pem=made.client_key_pem)

    async def who(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        certificate = writer.get_extra_info("peercert")
        writer.write(answer(str(certificate["subject"]).encode()))
        await reader.read()

    async with serving(who, server_context) as server:
        async with pool_to(secure(server.port, tls)) as pool:
            exchange = await get(pool)
        assert exchange.error is None
        assert b"client" in exchange.body
        async with pool_to(secure(server.port, tls, "kubernetes.test")) as pool:
            assert (await get(pool)).error is None


@pytest.mark.parametrize(
    ("tls", "server_name", "words"),
    [
        (TlsSettings(), "127.0.0.1", "failed to verify certificate: self-signed"),
        (
            TlsSettings(ca_pem=make_certificates().ca_pem),
            "elsewhere.test",
            "failed to verify certificate: Hostname",
        ),
    ],
)
@pytest.mark.asyncio
async def test_a_certificate_that_is_not_trusted_is_explained(
    server_context: ssl.SSLContext, tls: TlsSettings, server_name: str, words: str
):
    async with (
        serving(answer_everything, server_context) as server,
        pool_to(secure(server.port, tls, server_name)) as pool,
    ):
        exchange = await get(pool)
    assert isinstance(exchange.error, UnreachableError)
    assert words in str(exchange.error)


@pytest.mark.parametrize("over_tls", [False, True])
@pytest.mark.asyncio
async def test_nothing_is_lost_when_the_server_closes_while_reading_is_paused(
    server_context: ssl.SSLContext, over_tls: bool
):
    size = 3_000_000

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 50_000):
            writer.write(b"x" * 50_000)
            await writer.drain()

    class Slow(Get):
        def answer_data(self, data: bytes) -> None:
            super().answer_data(data)
            assert self.connection is not None
            self.connection.pause_reading()
            asyncio.get_running_loop().call_later(0.001, self.connection.resume_reading)

    tls = TlsSettings(ca_pem=make_certificates().ca_pem)
    async with serving(pour, server_context if over_tls else None) as server:
        access = secure(server.port, tls) if over_tls else plain(server.port)
        async with pool_to(access) as pool:
            exchange = Slow()
            pool.acquire(exchange)
            async with asyncio.timeout(20):
                await exchange.over.wait()
    assert exchange.error is None
    assert len(exchange.body) == size


@pytest.mark.asyncio
async def test_our_own_questions_use_the_same_connections():
    async def version(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await read_head(reader)
            writer.write(answer(b'{"gitVersion": "v1.36.3"}'))

    async with serving(version) as server, pool_to(plain(server.port)) as pool:
        client = KubeClient(pool)
        assert (await client.server_version()).git_version == "v1.36.3"
        assert (await client.get_json("/version"))["gitVersion"] == "v1.36.3"
    assert server.connections == 1
