"""RFC 6455 framing against a second opinion (the websockets library)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.utils import accept_key as their_accept_key
from websockets.utils import apply_mask

from kasbah.wire import websocket
from kasbah.wire.websocket import WebSocketError, WebSocketReceiver


def server() -> WebSocketReceiver:
    return WebSocketReceiver(unmask=lambda data, key: bytes(apply_mask(data, key)))


@given(
    messages=st.lists(st.binary(max_size=300), max_size=8),
    pings=st.lists(st.booleans(), min_size=8, max_size=8),
    piece=st.integers(min_value=1, max_value=400),
)
def test_masked_messages_come_out_whole_however_they_are_cut(
    messages: list[bytes], pings: list[bool], piece: int
):
    stream = b""
    for message, ping in zip(messages, pings, strict=False):
        stream += Frame(Opcode.BINARY, message).serialize(mask=True)
        stream += Frame(Opcode.PING, b"?").serialize(mask=True) if ping else b""
    receiver = server()
    out = b"".join(b"".join(receiver.receive(stream[i : i + piece])) for i in range(0, len(stream), piece))
    assert out == b"".join(messages)
    assert len(receiver.replies) == sum(pings[: len(messages)])


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1 << 20])
@pytest.mark.parametrize("masked", [False, True])
def test_our_headers_are_what_the_library_reads(size: int, masked: bool):
    expected = Frame(Opcode.BINARY, bytes(size)).serialize(mask=False)
    ours = websocket.binary_header(size, masked=masked)
    if masked:
        assert ours[1] & 0x80
        assert ours.endswith(b"\0\0\0\0")
        ours = bytes([ours[0], ours[1] & 0x7F]) + ours[2:-4]
    assert ours == expected[: len(expected) - size]


def test_a_key_of_zero_is_no_work_but_read_alike():
    assert server().receive(websocket.binary_header(5, masked=True) + b"hello") == [b"hello"]


def test_fragments_of_one_message_are_one_stream_with_pings_between():
    stream = (
        Frame(Opcode.BINARY, b"a", fin=False).serialize(mask=True)
        + Frame(Opcode.PING, b"").serialize(mask=True)
        + Frame(Opcode.CONT, b"b").serialize(mask=True)
    )
    assert b"".join(server().receive(stream)) == b"ab"


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(Frame(Opcode.BINARY, b"x").serialize(mask=False), id="no mask"),
        pytest.param(Frame(Opcode.TEXT, b"x").serialize(mask=True), id="text"),
        pytest.param(Frame(Opcode.CONT, b"x").serialize(mask=True), id="a continuation of nothing"),
        pytest.param(b"\xc2\x81\0\0\0\0x", id="compressed"),
        pytest.param(b"\x83\x80\0\0\0\0", id="a reserved opcode"),
        pytest.param(b"\x89\xfe\x00\x7e\0\0\0\0", id="a ping of 126 bytes"),
        pytest.param(b"\x09\x80\0\0\0\0", id="a fragmented ping"),
        pytest.param(b"\x82\xff\x00\x00\x00\x00\x01\x00\x00\x00\0\0\0\0", id="16 MiB"),
        pytest.param(Frame(Opcode.PING, b"").serialize(mask=True) * 100, id="a flood of pings"),
    ],
)
def test_a_breach_is_an_error(hostile: bytes):
    with pytest.raises(WebSocketError):
        server().receive(hostile)


def test_a_client_refuses_masked_frames():
    with pytest.raises(WebSocketError):
        WebSocketReceiver(unmask=None).receive(Frame(Opcode.BINARY, b"x").serialize(mask=True))


def test_nothing_after_a_close_is_read():
    receiver = server()
    close = Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True)
    assert receiver.receive(close + Frame(Opcode.BINARY, b"late").serialize(mask=True)) == []
    assert receiver.closed
    assert receiver.replies[0][:2] == b"\x88\x02"


def test_the_accept_key_is_the_rfcs():
    assert websocket.accept_key(b"dGhlIHNhbXBsZSBub25jZQ==").decode() == their_accept_key(
        "dGhlIHNhbXBsZSBub25jZQ=="
    )


def test_the_upgrade_answer_names_the_subprotocol_only_when_one_was_chosen():
    assert b"Sec-WebSocket-Protocol: kasbah.v1\r\n" in websocket.upgrade_response(b"k", "kasbah.v1", "kas")
    assert b"Sec-WebSocket-Protocol" not in websocket.upgrade_response(b"k", None, "kas")


@pytest.mark.parametrize("size", [0, 1, 4])
def test_very_many_tiny_messages_at_once_are_a_breach(size: int):
    tiny = websocket.binary_header(size, masked=True) + bytes(size)
    assert len(server().receive(tiny * 1000)) <= 1000
    with pytest.raises(WebSocketError):
        server().receive(tiny * 1001)


def test_messages_of_one_small_frame_each_are_not():
    small = websocket.binary_header(9, masked=True) + bytes(9)
    assert len(server().receive(small * 10_000)) == 10_000
