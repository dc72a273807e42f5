"""What the dialled kas makes of a stream's opening."""

from __future__ import annotations

import time

import pytest

from kasbah.errors import PeerError
from kasbah.kas.private_api.gateway import Gateway
from kasbah.kas.private_api.jwt import ReplicaJwt
from kasbah.kas.private_api.settings import PrivateApiSettings
from kasbah.kas.reverse_tunnel.registry import Waiter
from kasbah.wire.stream import ResetCode, Stream, StreamClass, StreamHandler
from tests.doubles.recording_stream import RecordingStream
from tests.doubles.replica import opening_for


class Arrived(RecordingStream):
    stream_class = StreamClass.WATCH
    is_over = False
    __hash__ = object.__hash__


class Local:
    """The tunnels of this kas: of agent 7 alone."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, StreamClass]] = []
        self.stream = RecordingStream()
        self.waiting: list[int] = []
        self.busy = 10

    def open_nowait(
        self, grant, opening: bytes, stream_class: StreamClass, handler: StreamHandler
    ) -> Stream | None:
        if grant.agent_id == 9:
            raise PeerError("too large")
        self.asked.append((grant.agent_id, stream_class))
        return self.stream if grant.agent_id == 7 else None

    def is_busy(self, agent_id: int) -> bool:
        return agent_id == self.busy

    def wait(self, agent_id: int, waiter: Waiter) -> None:
        self.waiting.append(agent_id)

    def stop_waiting(self, agent_id: int, waiter: Waiter) -> None:
        self.waiting.remove(agent_id)


def asked_for(opening: bytes) -> tuple[Arrived, Local]:
    settings = PrivateApiSettings(listens=(), own_url="grpc://a:1", secret=b"s" * 32)
    local, stream = Local(), Arrived()
    stream.head = b"nothing said"
    gateway = Gateway(settings, ReplicaJwt(b"s" * 32, time.time), local)
    handler = gateway._accept(opening, stream)  # type: ignore[arg-type]
    handler.data_received(b"body")
    return stream, local


def test_an_agent_that_is_here_gets_the_request_and_its_taking_is_said_by_an_empty_head():
    stream, local = asked_for(opening_for(7))
    assert local.asked == [(7, StreamClass.WATCH)]
    assert (stream.head, stream.reset_with) == (b"", None)
    assert bytes(local.stream.data) == b"body"


@pytest.mark.asyncio
async def test_an_agent_that_can_carry_no_more_is_waited_for():
    settings = PrivateApiSettings(listens=(), own_url="grpc://a:1", secret=b"s" * 32)
    local, stream = Local(), Arrived()
    gateway = Gateway(settings, ReplicaJwt(b"s" * 32, time.time), local)
    handler = gateway._accept(opening_for(10), stream)  # type: ignore[arg-type]
    assert (local.waiting, stream.reset_with) == ([10], None)
    handler.reset(ResetCode.CANCELLED, "the client has gone")
    assert not local.waiting


@pytest.mark.parametrize(
    ("opening", "code"),
    [
        (opening_for(8), ResetCode.REFUSED),
        (opening_for(9), ResetCode.PROTOCOL),
        (opening_for(0), ResetCode.PROTOCOL),
        (opening_for(-7), ResetCode.PROTOCOL),
        (b"", ResetCode.PROTOCOL),
        (b"\x00\x05abc", ResetCode.PROTOCOL),
        (b"\x00\x00GET / HTTP/1.1\r\n\r\n", ResetCode.PROTOCOL),
    ],
)
def test_anything_else_is_refused_and_nothing_is_done(opening: bytes, code: ResetCode):
    stream, local = asked_for(opening)
    assert stream.reset_with is not None
    assert stream.reset_with[0] == code
    assert stream.head == b"nothing said"
    assert not local.stream.data


WATCH = b"GET /api/v1/pods?watch=1 HTTP/1.1\r\n\r\n"
LOG = b"GET /api/v1/namespaces/a/pods/b/log?follow=1 HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "moves"),
    [(WATCH, True), (LOG, False), (b"GET //?watch=1 HTTP/1.1\r\n\r\n", False), (b"BREW /", False)],
)
def test_a_watch_goes_on_elsewhere_when_this_kas_drains_and_nothing_else_does(head: bytes, moves: bool):
    settings = PrivateApiSettings(listens=(), own_url="grpc://a:1", secret=b"s" * 32)
    local, stream = Local(), Arrived()
    gateway = Gateway(settings, ReplicaJwt(b"s" * 32, time.time), local)
    gateway._accept(opening_for(7, head), stream)  # type: ignore[arg-type]
    gateway.drain()
    assert (stream.reset_with is not None, local.stream.reset_with is not None) == (moves, moves)


def test_a_watch_that_is_over_is_left_alone_by_a_drain():
    settings = PrivateApiSettings(listens=(), own_url="grpc://a:1", secret=b"s" * 32)
    stream = Arrived()
    gateway = Gateway(settings, ReplicaJwt(b"s" * 32, time.time), Local())
    gateway._accept(opening_for(7, WATCH), stream)  # type: ignore[arg-type]
    stream.is_over = True
    gateway.drain()
    assert stream.reset_with is None
