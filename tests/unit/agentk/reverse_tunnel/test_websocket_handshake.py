"""The WebSocket handshake with kas, word by word."""

from __future__ import annotations

import pytest

from kasbah.agentk.reverse_tunnel import websocket_handshake
from kasbah.agentk.reverse_tunnel.address import parse_kas_address
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings, TunnelChoice
from kasbah.errors import PeerError

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The pair RFC 6455 gives as its example."""
GOOD = (
    b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %b\r\nsec-websocket-protocol: kasbah.v1"
    % ACCEPT
)
GITLABS = GOOD.replace(b"kasbah.v1", b"ws-tunnel")


def settings(**more) -> ReverseTunnelSettings:
    address = parse_kas_address("wss://kas.example.com/-/kubernetes-agent/?a=b")
    return ReverseTunnelSettings(address=address, **more)


def test_the_handshake_offers_both_tunnels_and_never_a_token():
    request = websocket_handshake.request(settings(headers=(("X-Tenant", "ops"),)), KEY, "agentk/1")
    lines = request.decode().split("\r\n")
    assert lines[0] == "GET /-/kubernetes-agent/?a=b HTTP/1.1"
    assert lines[-2:] == ["", ""]
    assert {
        "Host: kas.example.com",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY.decode()}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: kasbah.v1, ws-tunnel",
        "User-Agent: agentk/1",
        "X-Tenant: ops",
    } == set(lines[1:-2])


@pytest.mark.parametrize(
    ("choice", "offer"), [(TunnelChoice.NATIVE, b"kasbah.v1"), (TunnelChoice.GRPC, b"ws-tunnel")]
)
def test_one_tunnel_alone_can_be_offered(choice: TunnelChoice, offer: bytes):
    request = websocket_handshake.request(settings(tunnel=choice), KEY, "agentk/1")
    assert b"\r\nSec-WebSocket-Protocol: %b\r\n" % offer in request


@pytest.mark.parametrize(("answer", "chosen"), [(GOOD, TunnelChoice.NATIVE), (GITLABS, TunnelChoice.GRPC)])
def test_kas_chooses_the_tunnel(answer: bytes, chosen: TunnelChoice):
    assert websocket_handshake.chosen_tunnel(answer, KEY, settings()) is chosen


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: ws://evil/", "refused the WebSocket: HTTP/1.1 302 Found"),
        (b"HTTP/1.1 503 Service Unavailable", "refused the WebSocket: HTTP/1.1 503"),
        (b"\xff\xfe" * 500, "refused the WebSocket"),
        (GOOD.replace(ACCEPT, b"c3RhbGU="), "not for us"),
        (GOOD.replace(b"kasbah.v1", b"mqtt"), "chose mqtt and not kasbah.v1 or ws-tunnel: check that"),
        (GOOD.partition(b"\r\nsec-")[0], "chose no subprotocol.*--kas-address leads to kas"),
    ],
)
def test_any_other_answer_is_the_far_end_s_fault(answer: bytes, complaint: str):
    with pytest.raises(PeerError, match=complaint) as error:
        websocket_handshake.chosen_tunnel(answer, KEY, settings())
    assert error.value.retryable
    assert len(str(error.value)) < 300


def test_a_tunnel_that_was_not_offered_is_not_spoken():
    with pytest.raises(PeerError, match=r"chose ws-tunnel and not kasbah\.v1"):
        websocket_handshake.chosen_tunnel(GITLABS, KEY, settings(tunnel=TunnelChoice.NATIVE))
