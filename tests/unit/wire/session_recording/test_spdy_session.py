from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasbah.wire.session_recording.channels import Channel, NotFollowedError
from kasbah.wire.session_recording.spdy_session import SpdySession
from tests.doubles.session_bytes import STREAM_TYPES, SpdyClient, control, data


class Ear:
    def __init__(self, *, with_input: bool = True) -> None:
        self.heard: dict[Channel, bytes] = {}
        self.session = SpdySession(self._hear, with_input=with_input)

    def _hear(self, channel: Channel, text: bytes) -> None:
        assert text
        self.heard[channel] = self.heard.get(channel, b"") + text


def test_each_stream_says_its_channel():
    ear = Ear()
    ear.session.from_client(SpdyClient().session() + data(3, b"ls\n") + data(9, b"{}") + data(5, b"no"))
    ear.session.from_cluster(data(5, b"out") + data(7, b"err") + data(1, b"{}") + data(3, b"no"))
    assert ear.heard == {
        Channel.STDIN: b"ls\n",
        Channel.RESIZE: b"{}",
        Channel.STDOUT: b"out",
        Channel.STDERR: b"err",
    }


def test_what_is_typed_is_not_heard_unless_asked_for():
    ear = Ear(with_input=False)
    ear.session.from_client(SpdyClient().session() + data(3, b"secret") + data(9, b"{}"))
    assert ear.heard == {Channel.RESIZE: b"{}"}


def test_headers_of_every_frame_count_for_the_compression():
    ear, client = Ear(), SpdyClient()
    stream = client.session(["error"])
    stream += control(8, struct.pack("!I", 1) + client.block({b"more": b"x" * 500}))
    stream += control(2, struct.pack("!I", 1) + client.block({b"more": b"y" * 500}))
    ear.session.from_client(stream + client.session(["stdin"]) + data(3, b"a"))
    assert ear.heard == {Channel.STDIN: b"a"}


def test_other_frames_are_passed_over():
    ear = Ear()
    others = b"".join(control(kind, b"12345678") for kind in (3, 4, 6, 7, 9, 99))
    ear.session.from_client(others + SpdyClient().session() + others)
    ear.session.from_cluster(control(2, b"not a header block") + others + data(5, b"a") + data(5, b""))
    assert ear.heard == {Channel.STDOUT: b"a"}


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(STREAM_TYPES)), st.binary(max_size=300))), st.integers(1, 40))
def test_it_does_not_matter_how_bytes_are_cut(messages, step):
    ear = Ear()
    stream = SpdyClient().session() + b"".join(data(STREAM_TYPES[kind], text) for kind, text in messages)
    for at in range(0, len(stream), step):
        ear.session.from_client(stream[at : at + step])
    for channel in (Channel.STDIN, Channel.RESIZE):
        assert ear.heard.get(channel, b"") == b"".join(t for kind, t in messages if kind == channel.value)


def one(headers: dict[bytes, bytes]) -> bytes:
    return SpdyClient().open(3, headers)


@pytest.mark.parametrize(
    "headers", [{}, {b"streamtype": b"data"}, {b"other": b"stdin"}, {b"streamtype": b"\xff"}]
)
def test_a_stream_without_a_known_channel_is_passed_over(headers):
    ear = Ear()
    ear.session.from_client(one(headers) + data(3, b"x"))
    assert ear.heard == {}


def flood() -> bytes:
    client = SpdyClient()
    return b"".join(client.open(number, {}) for number in range(1, 200, 2))


def cut_block() -> bytes:
    client = SpdyClient()
    whole = client._deflate.compress(struct.pack("!II", 2, 100)) + client._deflate.flush(2)
    return control(1, b"\0" * 10 + whole)


@pytest.mark.parametrize(
    "stream",
    [
        control(1, b"\0" * 10 + b"not zlib"),
        control(1, b"\0" * 9),
        control(6, b"", version=2),
        b"\x80\x03\x00\x01" + struct.pack("!I", 65 * 1024),
        one({b"bomb": b"\0" * 1_000_000}),
        flood(),
        cut_block(),
        b"GET / HTTP/1.1\r\n",
        SpdyClient().session() + data(77, b"x"),
    ],
    ids=["no zlib", "short", "version", "large", "bomb", "flood", "cut", "http", "no stream"],
)
def test_what_breaks_the_rules_is_followed_no_further(stream):
    with pytest.raises(NotFollowedError):
        Ear().session.from_client(stream)
