"""Framing of what Git says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.gitrepo import pkt_line
from kasbah.gitrepo.errors import BadGitRequestError
from kasbah.gitrepo.pkt_line import Marker, Packet, PktLineReader


def read_all(reader: PktLineReader) -> list[Packet]:
    packets = []
    while (packet := reader.next_packet()) is not None:
        packets.append(packet)
    return packets


@given(st.lists(st.binary(max_size=300)), st.integers(min_value=1, max_value=50))
def test_what_is_encoded_is_read_back_however_it_is_cut(payloads, step):
    stream = b"".join(pkt_line.encode(payload) for payload in payloads) + pkt_line.FLUSH + b"rest"
    reader = PktLineReader()
    packets: list[Packet] = []
    for at in range(0, len(stream) - 4, step):
        reader.feed(stream[at : min(at + step, len(stream) - 4)])
        packets += read_all(reader)
    reader.feed(stream[-4:])
    assert packets == [*payloads, Marker.FLUSH]
    assert reader.rest() == b"rest"


def test_markers_are_told_apart():
    reader = PktLineReader()
    reader.feed(b"000000010002")
    assert read_all(reader) == [Marker.FLUSH, Marker.DELIMITER, Marker.RESPONSE_END]


def test_an_empty_packet_is_no_marker():
    reader = PktLineReader()
    reader.feed(b"0004")
    assert reader.next_packet() == b""


@pytest.mark.parametrize("digits", [b"0003", b"ffff", b"zzzz", b"-001", b"0x10", b" 12 ", b"+0aa"])
def test_a_length_that_is_none_is_refused(digits):
    reader = PktLineReader()
    reader.feed(digits)
    with pytest.raises(BadGitRequestError):
        reader.next_packet()


def test_the_longest_packet_is_taken_and_one_byte_more_is_not():
    reader = PktLineReader()
    reader.feed(pkt_line.encode(b"x" * pkt_line.MAX_PAYLOAD))
    assert reader.next_packet() == b"x" * pkt_line.MAX_PAYLOAD
    with pytest.raises(BadGitRequestError):
        pkt_line.encode(b"x" * (pkt_line.MAX_PAYLOAD + 1))
