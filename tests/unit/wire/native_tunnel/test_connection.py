"""A tunnel on a WebSocket, without sockets: what is written, when, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.utils import apply_mask

from kasbah.wire.native_tunnel.connection import TunnelConnection
from kasbah.wire.native_tunnel.engine import Role
from kasbah.wire.native_tunnel.frames import INITIAL_WINDOW, AgentHello, FrameType, KasHello, frame
from kasbah.wire.stream import ResetCode, StreamKind
from kasbah.wire.websocket import binary_header
from tests.doubles.tunnel_pair import RecordingHandler


class MemoryTransport:
    """Keeps what is written, call by call."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.ended = ""

    def write(self, data: bytes) -> None:
        self.writes.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | memoryview]) -> None:
        self.writes.append(b"".join(list_of_data))

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"


class Kas(TunnelConnection):
    def __init__(self, *, greeted: bool = False) -> None:
        self.memory = MemoryTransport()
        self.soon: list[Callable[[], None]] = []
        self.greetings: list[str] = []
        super().__init__(
            Role.KAS,
            self.memory,
            self.soon.append,
            unmask=lambda data, key: bytes(apply_mask(data, key)),
            greeted=greeted,
        )

    def turn(self) -> None:
        """One turn of the loop."""
        soon, self.soon[:] = self.soon[:], []
        for callback in soon:
            callback()

    def hello_received(self, hello: AgentHello) -> None:
        self.greetings.append(hello.token)


HELLO = frame(FrameType.HELLO, 0, b'{"token":"t","pod_id":1}')


def test_a_greeting_in_a_masked_message_is_understood():
    kas = Kas()
    kas.data_received(Frame(Opcode.BINARY, HELLO).serialize(mask=True))
    assert kas.greetings == ["t"]


def test_what_is_said_in_one_turn_is_written_once():
    kas = Kas()
    kas.tunnel.send_control(b"one")
    kas.tunnel.send_control(b"two")
    assert len(kas.soon) == 1
    kas.soon[0]()
    assert kas.memory.writes == [binary_header(6, masked=False) + b"onetwo"]


def test_nothing_is_taken_from_the_engine_while_the_transport_is_full():
    kas = Kas()
    kas.pause_writing()
    kas.tunnel.send_control(b"waits")
    kas.flush()
    assert kas.memory.writes == []
    kas.resume_writing()
    assert len(kas.memory.writes) == 1


class SaysMore(RecordingHandler):
    """Sends something as soon as there is room."""

    def writable(self) -> None:
        assert self.stream is not None
        self.stream.send(bytes(100_000))


def test_what_a_callback_says_while_its_stream_is_written_does_not_silence_the_connection():
    kas = Kas(greeted=True)
    handler = SaysMore()
    handler.stream = stream = kas.tunnel.open_stream(StreamKind.KUBERNETES_API, b"", handler)
    stream.send(bytes(INITIAL_WINDOW))
    kas.turn()
    kas.turn()
    kas.memory.writes.clear()
    window = frame(FrameType.WINDOW, stream.stream_id, value=INITIAL_WINDOW + 50_000)
    kas.data_received(Frame(Opcode.BINARY, window).serialize(mask=True))
    kas.turn()
    assert len(b"".join(kas.memory.writes)) > 50_000


def test_pings_are_answered():
    kas = Kas()
    kas.data_received(Frame(Opcode.PING, b"x").serialize(mask=True))
    assert kas.memory.writes == [Frame(Opcode.PONG, b"x").serialize(mask=False)]


def test_a_peer_that_pings_and_does_not_read_is_owed_one_answer():
    kas = Kas()
    kas.pause_writing()
    for number in range(100):
        kas.data_received(Frame(Opcode.PING, b"%d" % number).serialize(mask=True))
    assert kas.memory.writes == []
    kas.resume_writing()
    assert kas.memory.writes == [Frame(Opcode.PONG, b"99").serialize(mask=False)]


@pytest.mark.parametrize(
    ("hostile", "code"),
    [
        pytest.param(
            Frame(Opcode.TEXT, b"hello").serialize(mask=True), CloseCode.UNSUPPORTED_DATA, id="text"
        ),
        pytest.param(
            Frame(Opcode.BINARY, HELLO).serialize(mask=False), CloseCode.PROTOCOL_ERROR, id="unmasked"
        ),
        pytest.param(
            Frame(Opcode.BINARY, frame(FrameType.DATA, 2)).serialize(mask=True),
            CloseCode.PROTOCOL_ERROR,
            id="a frame before the greeting",
        ),
    ],
)
def test_a_breach_is_answered_with_its_close_code(hostile: bytes, code: CloseCode):
    kas = Kas()
    kas.data_received(hostile)
    assert kas.memory.ended == "closed"
    assert Close.parse(kas.memory.writes[-1][2:]).code == code
    assert kas.failure


def test_a_closed_connection_whose_peer_does_not_read_is_aborted_in_the_end():
    kas = Kas()
    kas.close("bye")
    kas.tick(100.0)
    kas.tick(102.0)
    assert kas.memory.ended == "closed"
    kas.tick(106.0)
    assert kas.memory.ended == "aborted"


def test_a_silent_peer_is_aborted():
    kas = Kas()
    kas.data_received(Frame(Opcode.BINARY, HELLO).serialize(mask=True))
    kas.tunnel.state = kas.tunnel.state.OPEN
    for now in (0.0, 1.0, 12.0, 23.0):
        kas.tick(now)
    assert kas.memory.ended == "aborted"
    assert "silent" in kas.failure


def test_a_close_from_the_peer_is_answered():
    kas = Kas()
    kas.data_received(Frame(Opcode.CLOSE, Close(1000, "").serialize()).serialize(mask=True))
    assert kas.memory.ended == "closed"
    assert kas.memory.writes[-1][0] & 0x0F == Opcode.CLOSE


@pytest.mark.parametrize("role", [Role.KAS, Role.AGENT])
def test_a_greeting_from_the_wrong_side_is_a_breach(role: Role):
    kas = TunnelConnection(role, memory := MemoryTransport(), lambda _later: None, unmask=None)
    hello = HELLO if role is Role.KAS else frame(FrameType.HELLO, 0, b'{"agent_id":1}')
    kas.data_received(Frame(Opcode.BINARY, hello).serialize(mask=False))
    assert "unexpected greeting" in kas.failure
    assert memory.ended == "closed"


def test_much_is_handed_over_without_a_copy_and_little_is_joined():
    kas = Kas()
    kas.tunnel.send_control(b"x" * 40_000)
    kas.flush()
    assert kas.memory.writes == [binary_header(40_000, masked=False) + b"x" * 40_000]


def test_a_half_closed_socket_is_closed():
    assert not Kas().eof_received()


def test_what_is_over_stays_over():
    kas = Kas()
    kas.close("bye")
    written = list(kas.memory.writes)
    kas.close("again")
    kas.break_off("too late", CloseCode.PROTOCOL_ERROR)
    assert kas.memory.writes == written
    assert kas.failure == ""


def test_a_drained_connection_closes_after_its_last_bytes():
    kas = Kas()
    kas.tunnel.send_control(b"last")
    kas.finished()
    assert kas.memory.ended == ""
    for later in list(kas.soon):
        later()
    assert kas.memory.writes[0].endswith(b"last")
    assert kas.memory.ended == "closed"


@pytest.mark.parametrize(
    ("error", "reason"), [(None, "the connection was closed"), (ConnectionResetError("reset"), "reset")]
)
def test_streams_of_a_lost_connection_hear_how_it_was_lost(error: Exception | None, reason: str):
    kas, handler = admitted(), RecordingHandler()
    kas.tunnel.open_stream(StreamKind.KUBERNETES_API, b"GET", handler)
    kas.connection_lost(error)
    assert handler.said == [("reset", (ResetCode.CONNECTION_LOST, reason))]


def test_a_stream_given_up_before_its_turn_costs_no_message():
    kas = admitted()
    stream = kas.tunnel.open_stream(StreamKind.KUBERNETES_API, b"GET", RecordingHandler())
    kas.flush()
    kas.memory.writes.clear()
    stream.send(b"never said")
    stream.reset(ResetCode.CANCELLED)
    kas.tunnel.take(0)
    kas.flush()
    assert kas.memory.writes == []


def admitted() -> Kas:
    kas = Kas()
    kas.data_received(Frame(Opcode.BINARY, HELLO).serialize(mask=True))
    kas.tunnel.accept(KasHello(agent_id=7))
    return kas


def test_a_connection_given_up_is_aborted_with_its_reason():
    kas = Kas()
    kas.abort("of no use")
    assert (kas.memory.ended, kas.failure) == ("aborted", "of no use")


def test_who_dialled_masks_whatever_its_role():
    memory, soon = MemoryTransport(), list[Callable[[], None]]()
    dialled = TunnelConnection(Role.KAS, memory, soon.append, unmask=None, greeted=True)
    dialled.tunnel.open_stream(StreamKind.KUBERNETES_API, b"opening", RecordingHandler())
    soon[0]()
    [message] = memory.writes
    assert message.startswith(binary_header(len(message) - 6, masked=True))
