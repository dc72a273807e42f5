from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasbah.wire.session_recording.channels import Channel, NotFollowedError
from kasbah.wire.session_recording.websocket_session import WebSocketSession
from tests.doubles.session_bytes import KEY, frame, typed, written


class Ear:
    def __init__(self, *, with_input: bool = True) -> None:
        self.heard: dict[Channel, bytes] = {}
        self.session = WebSocketSession(self._hear, with_input=with_input)

    def _hear(self, channel: Channel, data: bytes) -> None:
        assert data
        self.heard[channel] = self.heard.get(channel, b"") + data


def test_each_message_says_its_channel():
    ear = Ear()
    ear.session.from_client(typed(0, b"ls\n") + typed(4, b"{}") + typed(255, b"\0") + typed(1, b"no"))
    ear.session.from_cluster(written(1, b"out") + written(2, b"err") + written(3, b"{}") + written(0, b"no"))
    assert ear.heard == {
        Channel.STDIN: b"ls\n",
        Channel.RESIZE: b"{}",
        Channel.STDOUT: b"out",
        Channel.STDERR: b"err",
    }


def test_what_is_typed_is_not_heard_unless_asked_for():
    ear = Ear(with_input=False)
    ear.session.from_client(typed(0, b"secret") + typed(4, b"{}"))
    assert ear.heard == {Channel.RESIZE: b"{}"}


def test_a_message_may_come_in_fragments_with_others_between():
    ear = Ear()
    ear.session.from_cluster(
        frame(b"\x01a", last=False)
        + frame(b"ping", opcode=9)
        + frame(b"", opcode=0, last=False)
        + frame(b"b", opcode=0)
        + written(2, b"c")
    )
    ear.session.from_client(
        frame(b"", last=False, key=KEY)
        + frame(b"\x00a", opcode=0, last=False, key=KEY)
        + frame(b"b", opcode=0, key=KEY)
    )
    assert ear.heard == {Channel.STDOUT: b"ab", Channel.STDERR: b"c", Channel.STDIN: b"ab"}


def test_an_empty_message_says_nothing():
    ear = Ear()
    ear.session.from_cluster(written(1, b"") + frame(b"") + written(1, b"x"))
    assert ear.heard == {Channel.STDOUT: b"x"}


@pytest.mark.parametrize("size", [124, 125, 126, 65534, 65535, 65536, 200_000])
def test_every_length_is_read(size):
    ear = Ear()
    ear.session.from_cluster(written(1, b"x" * size) + written(2, b"y"))
    assert (len(ear.heard[Channel.STDOUT]), ear.heard[Channel.STDERR]) == (size, b"y")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 4, 9]), st.binary(max_size=300), st.binary(min_size=4, max_size=4))
    ),
    st.integers(1, 50),
)
def test_it_does_not_matter_how_bytes_are_cut(messages, step):
    whole, cut = Ear(), Ear()
    stream = b"".join(frame(bytes([channel]) + text, key=key) for channel, text, key in messages)
    whole.session.from_client(stream)
    for at in range(0, len(stream), step):
        cut.session.from_client(stream[at : at + step])
    assert whole.heard == cut.heard
    for number, channel in ((0, Channel.STDIN), (4, Channel.RESIZE)):
        assert whole.heard.get(channel, b"") == b"".join(t for n, t, _ in messages if n == number)


def test_nothing_is_heard_after_a_close():
    ear = Ear()
    ear.session.from_cluster(written(1, b"a") + frame(b"\x03\xe8", opcode=8) + b"\xff" * 100)
    assert ear.heard == {Channel.STDOUT: b"a"}


@pytest.mark.parametrize(
    "data",
    [
        bytes([0xC2, 0x01, 0x01]),  # compressed
        frame(b"\x01x", key=KEY),  # masked by the cluster
        frame(b"x", opcode=3),
        frame(b"x", opcode=11),
        frame(b"x", opcode=0),
        frame(b"x", last=False) + frame(b"x"),
        frame(b"x" * 126, opcode=9),
        frame(b"x", opcode=9, last=False),
        b"\x82\x7f" + b"\xff" * 8,
    ],
)
def test_what_breaks_the_rules_is_followed_no_further(data):
    with pytest.raises(NotFollowedError):
        Ear().session.from_cluster(data)


def test_a_client_must_mask():
    with pytest.raises(NotFollowedError):
        Ear().session.from_client(frame(b"\x00x"))
