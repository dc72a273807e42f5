"""When a PING is due, and when the peer is gone."""

from __future__ import annotations

import pytest

from kasbah.wire.grpc.frames import GrpcProtocolError
from kasbah.wire.grpc.keepalive import KeepAlive


def test_a_ping_is_due_once_after_the_silence():
    keepalive = KeepAlive(50, 20)
    assert [now for now in range(65) if keepalive.tick(now)] == [50]


def test_bytes_put_it_off():
    keepalive = KeepAlive(50, 20)
    keepalive.tick(0)
    keepalive.heard = True
    assert [now for now in range(40, 100) if keepalive.tick(now)] == [90]


def test_an_answer_begins_the_silence_anew():
    keepalive = KeepAlive(50, 20)
    pings = []
    for now in range(200):
        if keepalive.tick(now):
            pings.append(now)
            keepalive.heard = True
    assert pings == [50, 101, 152]


def test_without_an_answer_the_peer_is_gone():
    keepalive = KeepAlive(50, 20)
    keepalive.tick(0)
    keepalive.tick(50)
    keepalive.tick(70)
    with pytest.raises(GrpcProtocolError, match="timeout"):
        keepalive.tick(71)
