"""The first frame of a Kubernetes API stream."""

from __future__ import annotations

import pytest

from kasbah.errors import PeerError
from kasbah.wire.identity import AsAgent, AsUser
from kasbah.wire.kubernetes_api import (
    RequestEnvelope,
    decode_opening,
    encode_envelope,
    names_of,
    split_stamp,
    stamped,
)

ENVELOPE = RequestEnvelope(
    agent_id=7,
    grant_id="g1",
    identity=AsUser(username="gitlab:user:mia", groups=("gitlab:user",), extra=(("k", ("v",)),)),
    upgrade="websocket",
)


def test_an_envelope_and_a_head_come_back_as_they_went():
    head = b"GET /version HTTP/1.1\r\n\r\n"
    assert decode_opening(encode_envelope(ENVELOPE) + head) == (ENVELOPE, head)


def test_acting_as_the_agent_is_said_in_so_many_words():
    envelope = RequestEnvelope(agent_id=7, grant_id="g", identity=AsAgent())
    assert decode_opening(encode_envelope(envelope))[0].identity == AsAgent()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x00",
        b"\xff\xff",
        b"\x00\x02\x93\x01",
        encode_envelope(ENVELOPE)[:-1],
        encode_envelope(ENVELOPE).replace(b"gitlab:user:mia", b"gitlab:us\r\n:mia"),
    ],
)
def test_anything_else_is_the_peers_fault(payload: bytes):
    with pytest.raises(PeerError):
        decode_opening(payload)


def test_a_stamp_comes_off_again_and_leaves_equal_requests_equal():
    head = b"GET /version HTTP/1.1\r\nAccept: a/b\r\n\r\n"
    one = stamped(head, request_id="1" * 32, trace_id="2" * 32, trace_flags="01")
    plain, stamp = split_stamp(one)
    assert plain == head
    assert stamp == (b"Traceparent: 00-%b-%b-01\r\nAudit-Id: %b\r\n\r\n" % (b"2" * 32, b"1" * 16, b"1" * 32))
    assert names_of(stamp) == ("2" * 32, "1" * 32)
    assert names_of(b"") == ("", "")


@pytest.mark.parametrize(
    "opening",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nTraceparent: 00-%b-%b-01\r\nAudit-Id: %b\r\n\r\n"
        % (b"g" * 32, b"1" * 16, b"1" * 32),
        b"GET / HTTP/1.1\r\nTr0ceparent: 00-%b-%b-01\r\nAudit-Id: %b\r\n\r\n"
        % (b"2" * 32, b"1" * 16, b"1" * 32),
        b"GET / HTTP/1.1\r\nTraceparent: 00-%b-%b-01\r\nAu0it-Id: %b\r\n\r\n"
        % (b"2" * 32, b"1" * 16, b"1" * 32),
        b"GET / HTTP/1.1\r\nTraceparent: 00-%b-%b-01\r\nAudit-Id: %b\r\n\r\n"
        % (b"2" * 31, b"1" * 17, b"1" * 32),
    ],
)
def test_what_is_no_stamp_stays(opening):
    assert split_stamp(opening) == (opening, b"")
