"""The first frame of a Kubernetes API stream."""

from __future__ import annotations

import pytest

from kasbah.errors import PeerError
from kasbah.wire.identity import AsAgent, AsUser
from kasbah.wire.kubernetes_api import RequestEnvelope, decode_opening, encode_envelope

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
