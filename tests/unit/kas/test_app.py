"""kas composed: every address leads where it should; without sockets."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from kasbah.kas.access_log.settings import AccessLogSettings
from kasbah.kas.app import Kas, KasSettings
from kasbah.kas.audit.settings import AuditSettings
from kasbah.kas.http_server.connection import Connection
from kasbah.kas.http_server.server import HttpServer, Listen
from kasbah.kas.observability.probes import Probes
from kasbah.kit.chained_log import reading
from kasbah.kit.chained_log.settings import ChainedLogSettings
from kasbah.kit.listening import Address, bound
from kasbah.kit.secrets import Secret
from kasbah.wire import audit_record
from kasbah.wire.stream import StreamClass, StreamHandler, StreamKind
from tests.doubles.fake_hub import SECRET, FakeHub
from tests.doubles.fake_transport import FakeTransport
from tests.doubles.loopback_agent import LoopbackStream, until

WEBSOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: kasbah.v1\r\n"
)


async def application(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


class Tunnel:
    """An `AgentTunnel` that takes everything."""

    can_open = True
    stream_count = 0

    def __init__(self) -> None:
        self.streams: list[LoopbackStream] = []

    def open_stream(
        self, kind: StreamKind, opening: bytes, handler: StreamHandler, *, stream_class: StreamClass
    ) -> LoopbackStream:
        self.streams.append(LoopbackStream(1, opening, stream_class, handler))
        return self.streams[-1]


@asynccontextmanager
async def running(
    hub_double: FakeHub | None = None, **settings: object
) -> AsyncIterator[tuple[Kas, asyncio.Event]]:
    """A kas without addresses, and what stops it."""
    stop, ready = asyncio.Event(), asyncio.Event()
    async with (hub_double or FakeHub()).client() as hub, asyncio.TaskGroup() as tasks:
        kas = Kas(KasSettings(version="1", **settings), hub, SECRET, application)
        tasks.create_task(kas.run(stop, ready.set))
        await ready.wait()
        yield kas, stop
        stop.set()


async def ask(server: HttpServer, path: bytes, headers: bytes = b"") -> bytes:
    """The answer to a GET on one of kas' servers."""
    connection, transport = Connection(server), FakeTransport()
    connection.connection_made(transport)
    connection.data_received(b"GET %b HTTP/1.1\r\nHost: kas\r\n%b\r\n" % (path, headers))
    for _ in range(10):
        await asyncio.sleep(0)
    owner = transport.protocol or connection
    owner.connection_lost(None)  # type: ignore[attr-defined]  # a connection or whoever took it over
    return transport.written


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "headers", "answer"),
    [
        (b"/", b"", b"HTTP/1.1 200 "),
        (b"/-/kubernetes-agent/", WEBSOCKET, b"HTTP/1.1 101 "),
        (b"/-/kubernetes-agent/k8s-proxy/version", b"", b"HTTP/1.1 401 "),
    ],
)
async def test_the_public_addresses_show_everything(path: bytes, headers: bytes, answer: bytes):
    async with running() as (kas, _):
        assert (await ask(kas._servers[0], path, headers)).startswith(answer)


@pytest.mark.asyncio
async def test_the_agents_addresses_take_agents_at_any_path():
    async with running() as (kas, _):
        assert (await ask(kas._servers[1], b"/anything", WEBSOCKET)).startswith(b"HTTP/1.1 101 ")
        assert (await ask(kas._servers[1], b"/version")).endswith(b"hello")


@pytest.mark.asyncio
async def test_the_kubernetes_addresses_show_the_proxy_only():
    async with running() as (kas, _):
        for path, headers in ((b"/", b""), (b"/-/kubernetes-agent/", WEBSOCKET)):
            answer = await ask(kas._servers[2], path, headers)
            assert b"URL does not start with expected prefix" in answer


@pytest.mark.asyncio
async def test_it_is_ready_once_every_address_is_bound():
    async with FakeHub().client() as hub:
        kas = Kas(KasSettings(version="1"), hub, SECRET, application)
        probes = kas._servers[3]
        assert isinstance(probes.route, Probes)
        assert (await ask(probes, b"/readiness")).startswith(b"HTTP/1.1 500 ")
    async with running() as (kas, _):
        assert (await ask(kas._servers[3], b"/readiness")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.asyncio
async def test_when_stopped_it_refuses_agents_and_returns():
    async with running() as (kas, stop):
        stop.set()
        await until(lambda: kas._tunnels._draining)
    assert (await ask(kas._servers[0], b"/")).startswith(b"HTTP/1.1 503 ")


@pytest.mark.asyncio
async def test_when_stopped_who_was_let_in_still_finds_a_tunnel():
    async with running() as (kas, stop):
        server, connection, transport = kas._servers[2], Connection(kas._servers[2]), FakeTransport()
        connection.connection_made(transport)
        request = b"GET /-/kubernetes-agent/k8s-proxy/version HTTP/1.1\r\nHost: kas\r\n%b\r\n"
        connection.data_received(request % b"Authorization: Bearer pat:7:t\r\n")
        stop.set()
        await until(lambda: server._draining)
        await until(lambda: 7 in kas._tunnels._registry._waiters)  # it was granted, and is in line
        assert not kas._tunnels._draining
        tunnel = Tunnel()
        kas._tunnels._registry.add(7, tunnel)
        await until(lambda: kas._tunnels._draining)
        tunnel.streams[0].answer(b"served")
        connection.flush()
        assert transport.written.endswith(b"served")
        connection.connection_lost(None)


@pytest.mark.asyncio
async def test_when_stopped_it_is_not_ready_first_and_still_accepts(monkeypatch: pytest.MonkeyPatch):
    loop = asyncio.get_running_loop()
    async with running(listen_grace_s=3600) as (kas, stop):
        stop.set()
        await until(lambda: kas._stopping)
        assert (await ask(kas._servers[3], b"/readiness")).endswith(b"stopping")
        assert (await ask(kas._servers[0], b"/")).endswith(b"hello")
        monkeypatch.setattr(loop, "time", lambda: time.monotonic() + 3700)
        await until(lambda: kas._tunnels._draining)
        assert (await ask(kas._servers[0], b"/")).startswith(b"HTTP/1.1 503 ")
        assert (await ask(kas._servers[3], b"/liveness")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.asyncio
async def test_what_passed_the_proxy_is_reported_at_the_end():
    hub = FakeHub()
    async with running(hub) as (kas, _):
        await ask(
            kas._servers[2], b"/-/kubernetes-agent/k8s-proxy/version", b"Authorization: Bearer pat:7:t\r\n"
        )
    (report,) = [
        msgspec.json.decode(r.content) for r in hub.requests if r.url.path.endswith("/usage_metrics")
    ]
    assert report["counters"] == {
        "k8s_api_proxy_request": 1,
        "k8s_api_proxy_requests_via_pat_access": 1,
    }
    assert report["unique_counters"]["k8s_api_proxy_requests_unique_agents_via_pat_access"] == [7]
    assert len(report["report_id"]) == 32


@pytest.mark.asyncio
async def test_the_internal_api_is_there_when_it_has_an_address():
    secret = Secret(base64.b64encode(SECRET).decode())
    with bound(Address(host="127.0.0.1", port=0)) as taken:
        listen = Listen(host="127.0.0.1", port=taken.address.port, sockets=taken.sockets)
        async with running(internal_api_listens=(listen,), internal_api_secret=secret) as (kas, _):
            assert (await ask(kas._servers[4], b"/")).startswith(b"HTTP/1.1 426 ")
    async with running() as (kas, _):
        assert len(kas._servers) == 4


@pytest.mark.asyncio
async def test_what_is_proxied_is_audited_and_logged(tmp_path: Path):
    access_log = AccessLogSettings(file=str(tmp_path / "access.log"))
    async with running(audit=AuditSettings(directory=tmp_path / "audit"), access_log=access_log) as (kas, _):
        tunnel = Tunnel()
        kas._tunnels._registry.add(7, tunnel)
        server = kas._servers[2]
        connection, transport = Connection(server), FakeTransport()
        connection.connection_made(transport)
        request = b"GET /-/kubernetes-agent/k8s-proxy/version HTTP/1.1\r\nHost: kas\r\n%b\r\n"
        connection.data_received(request % b"Authorization: Bearer pat:7:t\r\n")
        await until(lambda: tunnel.streams)
        tunnel.streams[0].answer(b"served")
        await until(lambda: b"served" in transport.written)
        connection.connection_lost(None)
    (audited,) = [read for e in reading.forwards(tmp_path / "audit") if (read := audit_record.read(e.record))]
    logged = msgspec.json.decode((tmp_path / "access.log").read_bytes())
    assert (audited.phase, audited.status, audited.target.path) == ("ended", 200, "/version")
    assert (logged["request_id"], logged["status"]) == (audited.request_id, 200)


@pytest.mark.asyncio
async def test_what_cannot_be_recorded_is_not_sent_and_reads_go_on(tmp_path: Path):
    never = ChainedLogSettings(max_unsynced_bytes=-1)
    async with running(audit=AuditSettings(directory=tmp_path, log=never)) as (kas, _):
        tunnel = Tunnel()
        kas._tunnels._registry.add(7, tunnel)
        connection, transport = Connection(kas._servers[2]), FakeTransport()
        connection.connection_made(transport)
        request = b"%b /-/kubernetes-agent/k8s-proxy/api/v1/namespaces/a HTTP/1.1\r\nHost: kas\r\n%b\r\n"
        bearer = b"Authorization: Bearer pat:7:t\r\n"
        connection.data_received(request % (b"DELETE", bearer))
        await until(lambda: transport.written.startswith(b"HTTP/1.1 503 "))
        assert not tunnel.streams
        connection.data_received(request % (b"GET", bearer))
        await until(lambda: tunnel.streams)
        tunnel.streams[0].answer(b"served")
        await until(lambda: b"served" in transport.written)
        connection.connection_lost(None)
