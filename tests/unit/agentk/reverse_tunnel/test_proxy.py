"""What a proxy is asked, and what its answer means."""

from __future__ import annotations

import pytest

from kasbah.agentk.reverse_tunnel import proxy
from kasbah.agentk.reverse_tunnel.address import parse_kas_address
from kasbah.agentk.reverse_tunnel.head_reader import HeadReader
from kasbah.errors import PeerError
from kasbah.kit.http_proxy import ProxyAddress
from kasbah.kit.secrets import Secret
from tests.doubles.fake_transport import FakeTransport


async def ask(answer: bytes | None, *, address: str = "ws://kas:81/", credentials: str = "") -> str:
    """Go through a proxy that answers this, or leaves; what was asked."""
    reader, transport = HeadReader(), FakeTransport()
    if answer is None:
        reader.connection_lost(None)
    else:
        reader.data_received(answer)
    way = ProxyAddress(host="proxy", port=3128, credentials=Secret(credentials))
    await proxy.ask(transport, reader, parse_kas_address(address), way)
    return transport.written.decode()


@pytest.mark.asyncio
async def test_a_proxy_is_asked_for_the_host_and_the_port():
    asked = await ask(b"HTTP/1.0 200 Connection established\r\n\r\n")
    assert asked == "CONNECT kas:81 HTTP/1.1\r\nHost: kas:81\r\n\r\n"


@pytest.mark.asyncio
async def test_a_proxy_gets_its_credentials_and_an_ipv6_address_in_brackets():
    asked = await ask(b"HTTP/1.1 200 OK\r\n\r\n", address="grpc://[2001:db8::1]", credentials="me:pw")
    assert asked.startswith("CONNECT [2001:db8::1]:80 HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic bWU6cHc=\r\n" in asked


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "proxy:3128 refused: HTTP/1.1 407"),
        (None, "no answer to the handshake"),
    ],
)
async def test_a_proxy_that_does_not_connect_us_is_named_without_the_password(
    answer: bytes | None, complaint: str
):
    with pytest.raises(PeerError, match=complaint) as error:
        await ask(answer, credentials="me:hunter2")
    assert "hunter2" not in str(error.value)
