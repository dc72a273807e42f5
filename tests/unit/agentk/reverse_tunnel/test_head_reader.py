"""Heads are read while a connection is made, and whoever comes next misses no byte."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.agentk.reverse_tunnel.head_reader import HeadReader
from kasbah.errors import PeerError
from tests.doubles.fake_transport import FakeTransport


class Next(asyncio.Protocol):
    def __init__(self) -> None:
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data


@pytest.mark.asyncio
async def test_a_head_in_pieces_is_joined_and_what_follows_goes_to_the_next_protocol():
    reader, transport = HeadReader(), FakeTransport()
    reader.data_received(b"HTTP/1.1 101 OK\r\nA: b\r")
    reader.data_received(b"\n\r\nfirst frame")
    assert await reader.head() == b"HTTP/1.1 101 OK\r\nA: b"
    following = reader.hand_over(transport, Next)
    assert (transport.protocol, following.received) == (following, b"first frame")


@pytest.mark.asyncio
async def test_a_second_head_may_follow_the_first():
    reader = HeadReader()
    reader.data_received(b"one\r\n\r\ntwo\r\n\r\n")
    assert (await reader.head(), await reader.head()) == (b"one", b"two")


@pytest.mark.asyncio
async def test_a_head_is_waited_for():
    reader = HeadReader()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(reader.head())
        await asyncio.sleep(0)
        reader.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    assert waiting.result() == b"HTTP/1.1 200 OK"


@pytest.mark.asyncio
async def test_a_head_without_end_is_given_up():
    reader = HeadReader()
    reader.data_received(b"x" * 20_000)
    with pytest.raises(PeerError, match="has no end"):
        await reader.head()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "reason"), [(None, "the connection was closed"), (OSError("reset"), "reset")]
)
async def test_a_connection_that_ends_before_its_head_says_how(error: Exception | None, reason: str):
    reader = HeadReader()
    reader.connection_lost(error)
    with pytest.raises(PeerError, match=f"no answer to the handshake: {reason}"):
        await reader.head()


@pytest.mark.asyncio
async def test_a_refusal_is_read_though_the_connection_is_closed_behind_it():
    reader = HeadReader()
    reader.data_received(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    reader.connection_lost(None)
    assert await reader.head() == b"HTTP/1.1 403 Forbidden"


def test_a_connection_that_has_ended_is_handed_to_nobody():
    reader, transport = HeadReader(), FakeTransport()
    reader.connection_lost(None)
    with pytest.raises(PeerError):
        reader.hand_over(transport, Next)
    assert transport.protocol is None


def test_who_says_too_much_unasked_is_not_believed_in_part():
    reader = HeadReader()
    for _ in range(3):
        reader.data_received(b"x" * 10_000)
    with pytest.raises(PeerError, match="says too much"):
        reader.hand_over(FakeTransport(), Next)
