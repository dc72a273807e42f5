from __future__ import annotations

import asyncio

from kasbah.kas.http_server.exchange import NullExchange, Upgrade
from tests.doubles.fake_transport import FakeTransport


def test_an_upgrade_hands_the_transport_over_and_reads_on():
    transport, protocol = FakeTransport(), asyncio.Protocol()
    transport.pause_reading()
    upgrade = Upgrade(transport, b"early", since=0)
    upgrade.set_protocol(protocol)
    assert (transport.protocol, transport.reading, upgrade.received) == (protocol, True, b"early")


def test_an_upgrade_may_be_refused():
    transport = FakeTransport()
    known: list[bool] = []
    Upgrade(transport, b"", since=0, known=lambda: known.append(True)).refuse("401 Unauthorized", "no")
    assert transport.written.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert transport.written.endswith(b"\r\n\r\nno")
    assert transport.closed
    assert known


def test_a_null_exchange_bears_everything():
    exchange = NullExchange()
    exchange.body_received(b"x")
    for say in (exchange.body_ended, exchange.client_writable, exchange.client_gone):
        say()
    exchange.deadline_passed()
    exchange.draining()
    assert not exchange.open_ended
