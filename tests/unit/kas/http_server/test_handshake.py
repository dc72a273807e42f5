from __future__ import annotations

import asyncio
import ssl

import pytest

from kasbah.kas.http_server.handshake import Handshake
from kasbah.kas.http_server.server import HttpServer
from kasbah.kas.http_server.settings import HttpServerSettings
from tests.doubles.fake_transport import FakeTransport


class Above(asyncio.Protocol):
    def __init__(self) -> None:
        self.lost = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


def begin(owner: HttpServer) -> tuple[Handshake, FakeTransport, Above]:
    above, transport = Above(), FakeTransport()
    handshake = Handshake(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), above, owner)
    handshake.connection_made(transport)
    return handshake, transport, above


def server(**limits: float) -> HttpServer:
    return HttpServer([], lambda _head, _client: None, HttpServerSettings(**limits))


@pytest.mark.asyncio
async def test_handshakes_count_as_strangers_until_they_are_over():
    owner = server(max_strangers=1)
    first, transport, _ = begin(owner)
    assert not transport.aborted
    assert begin(owner)[1].aborted
    first.connection_lost(None)
    await asyncio.sleep(0)
    assert not begin(owner)[1].aborted


@pytest.mark.asyncio
async def test_a_handshake_knows_its_client_and_its_deadline():
    owner = server(head_timeout_s=10)
    handshake, _, _ = begin(owner)
    assert handshake.address == "192.0.2.7"
    assert handshake.due == owner.clock.now + 10


@pytest.mark.asyncio
async def test_noise_instead_of_a_handshake_ends_it():
    owner = server(max_strangers=1)
    handshake, transport, above = begin(owner)
    handshake.data_received(b"GET / HTTP/1.1\r\n\r\n")
    await asyncio.sleep(0)
    assert transport.closed
    assert not above.lost
    assert not begin(owner)[1].aborted


@pytest.mark.asyncio
async def test_a_lost_socket_is_told_even_to_whoever_has_paused():
    handshake, _, above = begin(server())
    handshake._secure.set_result(None)
    handshake.pause_reading()
    handshake.connection_lost(None)
    assert above.lost
