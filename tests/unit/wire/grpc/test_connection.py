"""A gRPC connection without sockets: what is written, when, and how it ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from websockets.frames import Frame, Opcode
from websockets.utils import apply_mask

from kasbah.wire.grpc import frames
from kasbah.wire.grpc.connection import GrpcConnection
from kasbah.wire.grpc.engine import GrpcLimits, GrpcRole
from kasbah.wire.grpc.frames import PREFACE
from kasbah.wire.rpc import Call, CallHandler, Metadata, StatusCode, prefixed
from kasbah.wire.websocket import binary_header
from tests.doubles.grpc_pair import RecordingCallHandler
from tests.unit.wire.native_tunnel.test_connection import MemoryTransport


class Connection(GrpcConnection):
    def __init__(self, role: GrpcRole, *, websocket: bool = False, limits: GrpcLimits | None = None) -> None:
        self.memory = MemoryTransport()
        self.soon: list[Callable[[], None]] = []
        self.calls: list[tuple[Call, RecordingCallHandler]] = []
        super().__init__(
            role,
            self.memory,
            self.soon.append,
            websocket=websocket,
            unmask=(lambda data, key: bytes(apply_mask(data, key))) if role is GrpcRole.SERVER else None,
            limits=limits,
        )

    def call_opened(self, path: str, metadata: Metadata, call: Call) -> CallHandler:
        handler = RecordingCallHandler(call)
        self.calls.append((call, handler))
        return handler

    def going_away(self) -> None: ...

    def turn(self) -> bytes:
        """One turn of the loop: what was written in it."""
        soon = self.soon[:]
        self.soon.clear()
        for callback in soon:
            callback()
        written = b"".join(self.memory.writes)
        self.memory.writes.clear()
        return written


def data_frame(payload: bytes) -> bytes:
    """DATA of the first call."""
    return frames.frame_header(frames.DATA, 0, 1, len(payload)) + payload


def joined(*, websocket: bool) -> tuple[Connection, Connection]:
    client = Connection(GrpcRole.CLIENT, websocket=websocket)
    server = Connection(GrpcRole.SERVER, websocket=websocket)
    exchange(client, server)
    return client, server


def exchange(client: Connection, server: Connection) -> None:
    while client.soon or server.soon:
        for source, target in ((client, server), (server, client)):
            if data := source.turn():
                target.data_received(data)


@pytest.mark.parametrize("websocket", [False, True])
def test_a_call_over_the_connection(websocket):
    client, server = joined(websocket=websocket)
    caller = RecordingCallHandler()
    caller.call = call = client.engine.open_call("/t/M", caller)
    call.send(bytes(100_000))
    exchange(client, server)
    answering, answerer = server.calls[0]
    assert answerer.messages() == [bytes(100_000)]
    answering.end()
    exchange(client, server)
    assert caller.words() == ["ended"]


def test_a_clients_bytes_travel_in_masked_messages():
    client = Connection(GrpcRole.CLIENT, websocket=True)
    written = client.turn()
    assert written[6:].startswith(PREFACE)
    assert written[:2] == binary_header(len(written) - 6, masked=True)[:2]


def test_everything_of_one_turn_is_written_at_once():
    client, _ = joined(websocket=False)
    for _ in range(3):
        call = client.engine.open_call("/t/M", RecordingCallHandler())
        call.send(b"x")
    for callback in client.soon:
        callback()
    assert len(client.memory.writes) == 1


def test_nothing_is_taken_while_the_transport_is_full():
    client, server = joined(websocket=False)
    client.pause_writing()
    client.engine.open_call("/t/M", RecordingCallHandler()).send(b"x")
    assert client.turn() == b""
    client.resume_writing()
    server.data_received(client.turn())
    assert len(server.calls) == 1


def test_a_call_that_is_over_before_it_was_written_does_not_silence_the_connection():
    client, server = joined(websocket=False)
    call = client.engine.open_call("/t/M", RecordingCallHandler())
    exchange(client, server)
    call.send(b"of no use")
    client.data_received(frames.frame_header(frames.RST_STREAM, 0, 1, 4) + bytes(4))
    assert client.turn() == b""
    client.engine.open_call("/t/M", RecordingCallHandler())
    exchange(client, server)
    assert len(server.calls) == 2


@pytest.mark.parametrize("websocket", [False, True])
def test_a_breach_is_told_and_ends_the_connection(websocket):
    client, server = joined(websocket=websocket)
    call = client.engine.open_call("/t/M", RecordingCallHandler())
    call.send(b"x")
    exchange(client, server)
    breach = b"\0\0\1\0\0\0\0\0\x63x"  # DATA of a call that nobody opened
    server.data_received(binary_header(len(breach), masked=True) + breach if websocket else breach)
    assert "never opened" in server.failure
    assert server.memory.ended == "closed"
    assert b"never opened" in b"".join(server.memory.writes)
    assert server.calls[0][1].words() == ["message", "failed"]
    server.data_received(b"whatever comes then")


def test_a_websocket_breach_ends_the_connection():
    server = Connection(GrpcRole.SERVER, websocket=True)
    server.data_received(Frame(Opcode.TEXT, b"hello").serialize(mask=True))
    assert server.failure
    assert server.memory.ended == "closed"


def test_websocket_pings_are_answered_but_not_into_a_full_transport():
    server = Connection(GrpcRole.SERVER, websocket=True)
    server.turn()
    server.data_received(Frame(Opcode.PING, b"1").serialize(mask=True))
    assert server.turn() == Frame(Opcode.PONG, b"1").serialize(mask=False)
    server.pause_writing()
    for i in range(100):
        server.data_received(Frame(Opcode.PING, b"%d" % i).serialize(mask=True))
    server.resume_writing()
    assert server.turn() == Frame(Opcode.PONG, b"99").serialize(mask=False)


def test_a_peers_websocket_close_closes():
    server = Connection(GrpcRole.SERVER, websocket=True)
    server.data_received(Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True))
    assert server.memory.ended == "closed"


@pytest.mark.parametrize("websocket", [False, True])
def test_closing_writes_what_is_left_and_cuts_what_runs(websocket):
    client, server = joined(websocket=websocket)
    caller = RecordingCallHandler()
    client.engine.open_call("/t/M", caller)
    exchange(client, server)
    answering, answerer = server.calls[0]
    answering.send(b"left")
    server.close("bye")
    assert answerer.words() == ["failed"]
    client.data_received(server.turn())
    assert caller.messages() == [b"left"]
    assert server.memory.ended == "closed"


def test_a_peer_that_does_not_take_our_last_bytes_is_cut():
    server = Connection(GrpcRole.SERVER)
    server.close()
    for now in range(10):
        server.tick(float(now))
    assert server.memory.ended == "aborted"


def test_a_silent_peer_is_cut():
    server = Connection(GrpcRole.SERVER, limits=GrpcLimits(keepalive_s=5, keepalive_timeout_s=2))
    for now in range(10):
        server.tick(float(now))
    assert "timeout" in server.failure
    assert server.memory.ended == "aborted"


def test_a_lost_connection_ends_its_calls_with_the_reason():
    client, _ = joined(websocket=False)
    caller = RecordingCallHandler()
    client.engine.open_call("/t/M", caller)
    client.connection_lost(ConnectionResetError("reset by peer"))
    assert (caller.code, caller.reason) == (StatusCode.UNAVAILABLE, "reset by peer")
    assert client.eof_received() is None


def test_drained_it_closes_after_its_last_bytes():
    client, server = joined(websocket=False)
    caller = RecordingCallHandler()
    client.engine.open_call("/t/M", caller)
    exchange(client, server)
    server.engine.go_away("old age")
    exchange(client, server)
    server.calls[0][0].send(b"last")
    server.calls[0][0].end()
    exchange(client, server)
    assert caller.words() == ["message", "ended"]
    assert server.memory.ended == client.memory.ended == "closed"


class ReadingTransport(MemoryTransport):
    """Writes down, too, whether it reads."""

    reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return False


@pytest.mark.parametrize("websocket", [False, True])
def test_of_very_many_small_frames_a_part_is_taken_in_each_turn(websocket):
    client, server = joined(websocket=websocket)
    server._transport = transport = ReadingTransport()
    call = client.engine.open_call("/t/M", RecordingCallHandler())
    exchange(client, server)
    _, answerer = server.calls[0]
    call.send(b"begun")
    said = client.turn()
    empty = data_frame(prefixed(b""))
    flood = empty * 2500
    server.data_received(said + (binary_header(len(flood), masked=True) if websocket else b"") + flood)
    heard = [len(answerer.messages())]
    readings = [transport.reading]
    while not readings[-1]:
        for callback in server.soon[:]:
            server.soon.remove(callback)
            callback()
        heard.append(len(answerer.messages()))
        readings.append(transport.reading)
    assert heard[0] < heard[1] < heard[2] == 2501
    assert readings == [False, False, True]


def test_what_is_left_of_a_turn_is_of_no_use_to_a_lost_connection():
    client, server = joined(websocket=False)
    server._transport = ReadingTransport()
    client.engine.open_call("/t/M", RecordingCallHandler())
    exchange(client, server)
    _, answerer = server.calls[0]
    server.data_received(data_frame(prefixed(b"")) * 2500)
    server.connection_lost(None)
    before = len(answerer.messages())
    server.turn()
    assert len(answerer.messages()) == before
