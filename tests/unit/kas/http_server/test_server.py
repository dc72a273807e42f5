from __future__ import annotations

import asyncio

import pytest
import structlog

from kasbah.kas.http_server.connection import Connection
from kasbah.kas.http_server.exchange import NullExchange
from kasbah.kas.http_server.server import HttpServer, source_of
from kasbah.kas.http_server.settings import HttpServerSettings
from tests.doubles.fake_transport import FakeTransport
from tests.doubles.recording_exchange import RecordingExchange


def server(exchange: RecordingExchange | None = None, **limits: float) -> HttpServer:
    return HttpServer([], lambda _head, _client: exchange or NullExchange(), HttpServerSettings(**limits))


def connect(owner: HttpServer, address: str = "192.0.2.7") -> tuple[Connection, FakeTransport]:
    connection, transport = Connection(owner), FakeTransport(address=address)
    connection.connection_made(transport)
    return connection, transport


def refused(transport: FakeTransport) -> bool:
    return transport.written.startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2345::1", "2001:db8:1:2300::/56"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::/56"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("", ""),
    ],
)
def test_a_source_is_a_network(address, source):
    assert source_of(address) == source


def test_a_source_has_a_limit_of_strangers_and_others_have_theirs():
    owner = server(max_strangers_per_source=1)
    assert not refused(connect(owner)[1])
    assert refused(connect(owner, "192.0.2.99")[1])
    assert not refused(connect(owner, "198.51.100.1")[1])


def test_whoever_has_proved_who_they_are_is_no_stranger():
    owner = server(max_strangers_per_source=1)
    first, _ = connect(owner)
    first.authenticated()
    first.authenticated()
    assert not refused(connect(owner)[1])


def test_a_connection_that_was_taken_over_is_a_strangers_until_its_new_owner_knows_better():
    owner = server(max_strangers_per_source=1)
    first, _ = connect(owner)
    upgrade = first.take_over()
    second, transport = connect(owner)
    assert refused(transport)
    second.connection_lost(None)
    upgrade.known()
    upgrade.known()
    assert not refused(connect(owner)[1])


def test_a_connection_that_is_gone_makes_room():
    owner = server(max_strangers=1)
    first, _ = connect(owner)
    first.connection_lost(None)
    owner.forget(first)
    assert not refused(connect(owner)[1])


def test_all_connections_together_have_a_limit():
    owner = server(max_connections=1)
    connect(owner)[0].authenticated()
    assert refused(connect(owner)[1])


@pytest.mark.asyncio
async def test_a_bug_in_one_exchange_costs_its_connection_and_not_the_server():
    class Broken(RecordingExchange):
        def deadline_passed(self) -> None:
            raise AssertionError("a bug")

    owner = server(Broken())
    connection, transport = connect(owner)
    connection.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    connection.set_deadline(-1e9)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(owner.run())
        with structlog.testing.capture_logs() as logs:
            await asyncio.sleep(0)
        assert not running.done()
        running.cancel()
    assert transport.aborted
    assert "a connection crashed" in [log["event"] for log in logs]


@pytest.mark.asyncio
async def test_drain_waits_for_what_runs_and_refuses_what_comes():
    exchange = RecordingExchange()
    owner = server(exchange)
    idle, busy = connect(owner), connect(owner)
    busy[0].data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    async with asyncio.TaskGroup() as group:
        group.create_task(owner.drain())
        await asyncio.sleep(0)
        assert idle[1].closed
        assert exchange.said == ["draining"]
        assert refused(connect(owner)[1])
        for connection in list(owner._connections):
            connection.connection_lost(None)


@pytest.mark.asyncio
async def test_drain_gives_up_after_its_time():
    owner = server(RecordingExchange(), drain_s=0)
    connection, transport = connect(owner)
    connection.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await owner.drain()
    assert not transport.closed


@pytest.mark.asyncio
async def test_drain_of_nobody_is_over_at_once():
    await server().drain()
