from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from kasbah.kube.access import ClusterAccess
from kasbah.kube.connection import UpstreamConnection
from kasbah.kube.errors import UnreachableError
from kasbah.kube.pool import PoolSettings, UpstreamPool
from tests.doubles.upstream import RecordingExchange
from tests.doubles.upstream_transport import UpstreamTransport

ACCESS = ClusterAccess(host="127.0.0.1", port=6443)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@contextlib.asynccontextmanager
async def running(settings: PoolSettings | None = None) -> AsyncIterator[UpstreamPool]:
    """A pool that may dial; these tests never let it come to that."""
    pool = UpstreamPool(ACCESS, settings)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(pool.run())
        await asyncio.sleep(0)
        yield pool
        task.cancel()


def add_idle(pool: UpstreamPool) -> tuple[UpstreamConnection, UpstreamTransport]:
    """A connection that somebody has used and given back."""
    transport = UpstreamTransport()
    connection = UpstreamConnection(pool)
    connection.connection_made(transport)
    RecordingExchange().connected(connection)
    connection.data_received(OK)
    return connection, transport


@pytest.mark.asyncio
async def test_a_kept_connection_is_handed_over_at_once_the_last_one_first():
    async with running() as pool:
        add_idle(pool)
        last, _ = add_idle(pool)
        exchange = RecordingExchange()
        pool.acquire(exchange)
        assert exchange.connection is last
        assert pool.idle_connections == 1


@pytest.mark.asyncio
async def test_a_connection_that_comes_free_goes_to_whoever_waits():
    async with running() as pool:
        exchange = RecordingExchange()
        pool.acquire(exchange)
        connection, _ = add_idle(pool)
        assert exchange.connection is connection
        assert pool.idle_connections == 0


@pytest.mark.asyncio
async def test_a_fresh_one_is_never_a_used_one():
    async with running() as pool:
        add_idle(pool)
        exchange = RecordingExchange()
        pool.acquire(exchange, fresh=True)
        assert exchange.connection is None
        pool.forget(exchange)


@pytest.mark.asyncio
async def test_nobody_gets_a_connection_for_one_who_left():
    async with running() as pool:
        exchange = RecordingExchange()
        pool.acquire(exchange)
        pool.forget(exchange)
        add_idle(pool)
        assert exchange.connection is None
        assert pool.idle_connections == 1


@pytest.mark.asyncio
async def test_a_closed_connection_is_no_longer_kept():
    async with running() as pool:
        connection, _ = add_idle(pool)
        connection.connection_lost(None)
        assert pool.idle_connections == 0


@pytest.mark.asyncio
async def test_old_connections_are_closed_and_young_ones_stay():
    async with running() as pool:
        (old, old_transport), (young, young_transport) = add_idle(pool), add_idle(pool)
        old.idle_since, young.idle_since = 10, 20
        pool.close_idle(15)
        assert (old_transport.aborted, young_transport.aborted) == (True, False)


@pytest.mark.asyncio
async def test_no_more_are_kept_than_the_settings_say():
    async with running(PoolSettings(max_idle=1)) as pool:
        add_idle(pool)
        _, transport = add_idle(pool)
        assert transport.aborted
        assert pool.idle_connections == 1


@pytest.mark.asyncio
async def test_too_many_requests_are_refused_with_the_limit():
    async with running(PoolSettings(max_connections=1)) as pool:
        waiting, refused = RecordingExchange(), RecordingExchange()
        pool.acquire(waiting)
        pool.acquire(refused)
        assert "1 connections to the API server are open" in str(refused.error)


@pytest.mark.asyncio
async def test_a_pool_that_stops_refuses_whoever_waits_and_keeps_nothing():
    exchange = RecordingExchange()
    async with running() as pool:
        add_idle(pool)
        pool.acquire(exchange, fresh=True)
    assert isinstance(exchange.error, UnreachableError)
    assert pool.idle_connections == 0


def test_a_pool_that_does_not_run_refuses():
    exchange = RecordingExchange()
    UpstreamPool(ACCESS).acquire(exchange)
    assert "not connected to its cluster" in str(exchange.error)
