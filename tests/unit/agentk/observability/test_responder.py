from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from kasbah.agentk.observability.responder import MAX_CONNECTIONS, Answer, Responder
from tests.doubles.upstream_transport import UpstreamTransport

ROUTES = {b"/liveness": Answer, b"/readiness": lambda: Answer(status=500, body=b"no tunnel")}


def connect(connections: set[Responder] | None = None) -> tuple[Responder, UpstreamTransport]:
    responder, transport = (
        Responder(ROUTES, connections if connections is not None else set()),
        UpstreamTransport(),
    )
    responder.connection_made(transport)
    return responder, transport


@pytest.fixture(autouse=True)
def loop() -> Iterator[None]:
    """Deadlines need a loop, though none of these tests lets one pass."""

    async def nothing() -> None: ...

    with asyncio.Runner() as runner:
        runner.run(nothing())
        asyncio._set_running_loop(runner.get_loop())
        yield
        asyncio._set_running_loop(None)


def ask(request: bytes) -> bytes:
    responder, transport = connect()
    responder.data_received(request)
    assert transport.aborted
    responder.connection_lost(None)
    return transport.take()


def test_a_probe_is_answered_and_the_connection_closed():
    assert ask(b"GET /liveness HTTP/1.1\r\nHost: x\r\n\r\n") == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 0\r\n"
        b"Connection: close\r\n\r\n"
    )


def test_a_probe_that_fails_says_why():
    answer = ask(b"GET /readiness?verbose HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b"\r\n\r\nno tunnel")


def test_head_gets_no_body():
    answer = ask(b"HEAD /readiness HTTP/1.1\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n")
    assert b"Content-Length: 9" in answer


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /other HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /liveness HTTP/1.1\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 10_000, b"431"),
    ],
)
def test_anything_else_is_refused(request_bytes: bytes, status: bytes):
    assert ask(request_bytes).startswith(b"HTTP/1.1 " + status)


def test_a_request_may_come_in_pieces_and_nothing_follows_it():
    responder, transport = connect()
    for piece in (b"GET /live", b"ness HTTP/1.1\r\n", b"\r\n"):
        responder.data_received(piece)
    answer = transport.take()
    responder.data_received(b"GET /liveness HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert transport.take() == b""


def test_too_many_connections_are_turned_away():
    connections: set[Responder] = set()
    kept = [connect(connections) for _ in range(MAX_CONNECTIONS + 1)]
    assert kept[-1][1].take().startswith(b"HTTP/1.1 503")
    assert not kept[0][1].aborted
