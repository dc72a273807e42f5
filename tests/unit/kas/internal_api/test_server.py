"""The internal API without sockets: calls in and out, and how connections end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kasbah.kas.http_server.connection import Connection
from kasbah.kas.http_server.server import HttpServer
from kasbah.kas.internal_api.connection import MAX_MESSAGE_BYTES
from kasbah.kas.internal_api.server import InternalApi, InternalCall
from kasbah.kas.internal_api.settings import InternalApiSettings
from kasbah.wire.methods import REGISTER, UNREGISTER
from kasbah.wire.rpc import StatusCode
from tests.doubles.fake_transport import FakeTransport
from tests.doubles.forged_jwts import signed
from tests.doubles.internal_api_client import InternalApiClient

pytestmark = pytest.mark.asyncio

KEY = b"k" * 32
GOOD = (("authorization", f"bearer {signed({'aud': 'gitlab-kas', 'exp': 100}, KEY)}"),)
REQUEST = REGISTER.request(pod_id=5).SerializeToString()


class Handlers:
    """Answers Register at once, and Unregister when it is told to."""

    def __init__(self) -> None:
        self.calls: list[InternalCall] = []
        self.go_on = asyncio.Event()

    async def register(self, call: InternalCall, _request: object) -> object:
        self.calls.append(call)
        return REGISTER.response()

    async def unregister(self, call: InternalCall, _request: object) -> object:
        self.calls.append(call)
        await self.go_on.wait()
        return UNREGISTER.response()


@asynccontextmanager
async def running(handlers: Handlers, **settings: float) -> AsyncIterator[InternalApi]:
    services = [(REGISTER, handlers.register), (UNREGISTER, handlers.unregister)]
    api = InternalApi(services, KEY, InternalApiSettings(**settings), clock=lambda: 0)
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(api.run())
        await asyncio.sleep(0)
        yield api
        run.cancel()


async def test_a_call_with_a_token_is_answered():
    handlers = Handlers()
    async with running(handlers) as api:
        client = InternalApiClient(api)
        answer = await client.call(REGISTER.path, REQUEST, GOOD)
        assert answer.messages() == [b""]
        assert answer.words() == ["message", "ended"]
        assert (handlers.calls, client.known) == ([InternalCall("192.0.2.7")], 1)


@pytest.mark.parametrize("metadata", [(), (("authorization", "bearer x"),), GOOD * 2])
async def test_a_call_without_one_is_not(metadata):
    handlers = Handlers()
    async with running(handlers) as api:
        client = InternalApiClient(api)
        answer = await client.call(REGISTER.path, REQUEST, metadata)
        assert (answer.code, answer.reason) == (StatusCode.UNAUTHENTICATED, "JWT validation failed")
        assert (handlers.calls, client.known) == ([], 0)


async def test_every_call_shows_its_own_token():
    handlers = Handlers()
    async with running(handlers) as api:
        client = InternalApiClient(api)
        await client.call(REGISTER.path, REQUEST, GOOD)
        assert (await client.call(REGISTER.path, REQUEST, ())).code is StatusCode.UNAUTHENTICATED
        assert len(handlers.calls) == 1


async def test_an_unknown_method_is_said_only_to_who_may_call():
    async with running(Handlers()) as api:
        client = InternalApiClient(api)
        assert (await client.call("/x.Y/Z", b"", ())).code is StatusCode.UNAUTHENTICATED
        assert (await client.call("/x.Y/Z", b"", GOOD)).code is StatusCode.UNIMPLEMENTED


async def test_a_message_may_be_long():
    unknown_field = b"\x7a\x80\x80\xc0\x01" + bytes(3 << 20)  # field 15, three mebibytes
    async with running(Handlers()) as api:
        client = InternalApiClient(api)
        for body, code in (
            (unknown_field, StatusCode.OK),
            (bytes(MAX_MESSAGE_BYTES + 1), StatusCode.RESOURCE_EXHAUSTED),
        ):
            assert (await client.call(REGISTER.path, REQUEST + body, GOOD)).code is code


async def test_who_proves_nothing_is_dropped():
    async with running(Handlers(), greeting_timeout_s=0) as api:
        stranger, known = InternalApiClient(api), InternalApiClient(api)
        await known.call(REGISTER.path, REQUEST, GOOD)
        api._tick(asyncio.get_running_loop().time())
        assert (stranger.transport.aborted, known.transport.aborted) == (True, False)


async def test_an_old_connection_is_asked_to_go_and_then_cut():
    now = asyncio.get_running_loop().time()
    async with running(Handlers(), max_connection_age_s=100, connection_age_grace_s=10) as api:
        client = InternalApiClient(api, since=now)
        answer = client.call(UNREGISTER.path, REQUEST, GOOD)
        handler = await answer
        api._tick(now + 80)
        await client.pump()
        assert client.end.engine.can_open
        api._tick(now + 101)
        await client.pump()
        assert not client.end.engine.can_open
        assert handler.words() == []
        api._tick(now + 112)
        assert client.transport.aborted


async def test_a_drain_waits_for_what_runs():
    handlers = Handlers()
    async with running(handlers) as api, asyncio.TaskGroup() as tasks:
        client = InternalApiClient(api)
        handler = await client.call(UNREGISTER.path, REQUEST, GOOD)
        drained = tasks.create_task(api.drain())
        await client.pump()
        assert not drained.done()
        handlers.go_on.set()
        await client.pump()
        assert handler.words() == ["message", "ended"]
        assert client.transport.closed
        client.lose()


async def test_a_drain_has_an_end():
    async with running(Handlers(), drain_s=0) as api:
        client = InternalApiClient(api)
        await client.call(UNREGISTER.path, REQUEST, GOOD)
        await api.drain()


async def test_nobody_comes_in_while_it_is_full_or_stops():
    async with running(Handlers(), max_connections=1) as api:
        first, second = InternalApiClient(api), InternalApiClient(api)
        assert (second.transport.aborted, second.known) == (True, 1)
        first.lose()
        third = InternalApiClient(api)
        assert not third.transport.aborted
        third.lose()
        await api.drain()
        assert InternalApiClient(api).transport.aborted


async def test_a_lost_connection_is_no_stranger_s_any_more():
    async with running(Handlers()) as api:
        client = InternalApiClient(api)
        client.lose()
        assert client.known == 1


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_who_speaks_http_1_is_told_what_is_here(method: bytes):
    api = InternalApi([], KEY)
    connection, transport = Connection(HttpServer([], api.exchange)), FakeTransport()
    connection.connection_made(transport)
    connection.data_received(method + b" / HTTP/1.1\r\nHost: kas\r\n\r\n")
    await asyncio.sleep(0)
    assert transport.written.startswith(b"HTTP/1.1 426 ")
    assert transport.written.endswith(b"it speaks gRPC\n") is (method == b"GET")
    connection.connection_lost(None)
