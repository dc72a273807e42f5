"""Which end of a connection between replicas may do what."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from kasbah.kas.private_api.connection import ReplicaConnection
from kasbah.wire.native_tunnel.engine import Role
from kasbah.wire.native_tunnel.frames import FrameType, GoAwayCode, frame
from kasbah.wire.stream import StreamKind
from kasbah.wire.websocket import binary_header
from tests.doubles.fake_transport import FakeTransport
from tests.doubles.tunnel_pair import RecordingHandler


@dataclass
class Owner:
    told: list[str] = field(default_factory=list)

    def leaving(self, connection: ReplicaConnection) -> None:
        self.told.append("leaving")

    def lost(self, connection: ReplicaConnection) -> None:
        self.told.append("lost")


def made(owner: Owner, *, dialled: bool) -> tuple[ReplicaConnection, FakeTransport, list[bytes]]:
    transport, openings = FakeTransport(), list[bytes]()

    def accept(opening, stream):
        openings.append(opening)
        return RecordingHandler()

    return (
        ReplicaConnection(owner, transport, accept=None if dialled else accept, now=1.0),
        transport,
        openings,
    )


def message(data: bytes, *, masked: bool) -> bytes:
    return binary_header(len(data), masked=masked) + data


def opened(stream_id: int, kind: StreamKind) -> bytes:
    return frame(FrameType.OPEN, stream_id, bytes((kind, 2)) + b"opening")


@pytest.mark.asyncio
async def test_the_dialled_end_takes_streams_to_agents():
    connection, _, openings = made(Owner(), dialled=False)
    connection.data_received(message(opened(2, StreamKind.KUBERNETES_API), masked=True))
    assert connection.tunnel.role is Role.AGENT
    assert openings == [b"opening"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("dialled", "data"),
    [
        (False, opened(2, StreamKind.RPC)),
        (True, opened(1, StreamKind.KUBERNETES_API)),
        (True, opened(1, StreamKind.RPC)),
    ],
)
async def test_nobody_opens_anything_else(dialled: bool, data: bytes):
    connection, transport, openings = made(Owner(), dialled=dialled)
    connection.data_received(message(data, masked=not dialled))
    assert "only the one that dialled" in connection.failure
    assert transport.closed
    assert openings == []


@pytest.mark.asyncio
async def test_the_owner_hears_of_a_drain_and_of_the_end():
    owner = Owner()
    connection, _, _ = made(owner, dialled=True)
    connection.data_received(message(frame(FrameType.GOAWAY, value=GoAwayCode.DRAINING), masked=False))
    connection.connection_lost(None)
    assert owner.told == ["leaving", "lost"]


@pytest.mark.asyncio
async def test_a_connection_is_used_while_a_stream_runs():
    connection, _, _ = made(Owner(), dialled=True)
    connection.tick(5.0)
    assert connection.used_at == 1.0
    connection.tunnel.open_stream(StreamKind.KUBERNETES_API, b"", RecordingHandler())
    connection.tick(6.0)
    assert connection.used_at == 6.0
