from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from kasbah.kit import socket_queues


class Transport(asyncio.BaseTransport):
    """Nothing but its socket."""

    def __init__(self, sock: socket.socket | None) -> None:
        super().__init__({"socket": sock})


@contextlib.contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as writer,
        server.accept()[0] as reader,
    ):
        yield writer, reader


def held(writer: socket.socket) -> int:
    """What the kernel takes for a peer that does not read."""
    writer.setblocking(False)
    taken, piece = 0, bytes(256 * 1024)
    with contextlib.suppress(BlockingIOError):
        while taken < 64 * 1024 * 1024:
            taken += writer.send(piece)
    return taken


@pytest.mark.parametrize(
    ("round_trip_s", "expected"),
    [
        pytest.param(0.0, socket_queues.RECEIVED_BYTES, id="this machine"),
        pytest.param(0.001, socket_queues.RECEIVED_BYTES, id="one building"),
        pytest.param(0.02, 2_500_000, id="one country"),
        pytest.param(0.2, 25_000_000, id="round the world"),
    ],
)
def test_a_longer_line_may_hold_more(round_trip_s: float, expected: int):
    assert socket_queues.received_bytes(round_trip_s) == expected


def test_for_a_reader_that_does_not_read_a_short_line_holds_little():
    with connected() as (writer, reader):
        for end in (writer, reader):
            socket_queues.keep_short(Transport(end))
        assert held(writer) <= socket_queues.RECEIVED_BYTES + 2 * socket_queues.UNSENT_BYTES


def test_what_is_no_tcp_connection_stays_as_it_is():
    one, other = socket.socketpair()
    with one, other:
        before = one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        socket_queues.keep_short(Transport(one))
        socket_queues.keep_short(Transport(None))
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == before
