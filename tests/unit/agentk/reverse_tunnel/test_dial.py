"""The handshake with kas and with a proxy, word by word; the sockets are in tests/integration."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from kasbah.agentk.reverse_tunnel.address import ProxyAddress, parse_kas_address
from kasbah.agentk.reverse_tunnel.dial import (
    _check_answer,
    _handshake,
    _HeadReader,
    _through_proxy,
    tls_context,
)
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.errors import PeerError, UserError
from kasbah.kit.secrets import Secret
from tests.doubles.certificates import make_certificates
from tests.doubles.fake_transport import FakeTransport

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The pair RFC 6455 gives as its example."""
GOOD = (
    b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %b\r\nsec-websocket-protocol: kasbah.v1"
    % ACCEPT
)


def settings(address: str = "wss://kas.example.com/-/kubernetes-agent/?a=b", **more) -> ReverseTunnelSettings:
    return ReverseTunnelSettings(address=parse_kas_address(address), **more)


# -- the WebSocket


def test_the_handshake_offers_both_tunnels_and_never_a_token():
    lines = _handshake(settings(headers=(("X-Tenant", "ops"),)), KEY, "agentk/1").decode().split("\r\n")
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


def test_the_right_answer_is_taken():
    _check_answer(GOOD, KEY)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: ws://evil/", "refused the WebSocket: HTTP/1.1 302 Found"),
        (b"HTTP/1.1 503 Service Unavailable", "refused the WebSocket: HTTP/1.1 503"),
        (b"\xff\xfe" * 500, "refused the WebSocket"),
        (GOOD.replace(ACCEPT, b"c3RhbGU="), "not for us"),
        (GOOD.replace(b"kasbah.v1", b"ws-tunnel"), "speaks ws-tunnel, not kasbah.v1"),
        (GOOD.partition(b"\r\nsec-")[0], "speaks no subprotocol"),
    ],
)
def test_any_other_answer_is_the_far_end_s_fault(answer: bytes, complaint: str):
    with pytest.raises(PeerError, match=complaint) as error:
        _check_answer(answer, KEY)
    assert error.value.retryable
    assert len(str(error.value)) < 256


# -- reading one head


def reader() -> tuple[_HeadReader, FakeTransport]:
    made, transport = _HeadReader(), FakeTransport()
    made.connection_made(transport)
    return made, transport


@pytest.mark.asyncio
async def test_a_head_in_pieces_is_joined_and_what_follows_is_kept():
    head, transport = reader()
    head.data_received(b"HTTP/1.1 101 OK\r\nA: b\r")
    head.data_received(b"\n\r\nfirst frame")
    assert await head.head() == (b"HTTP/1.1 101 OK\r\nA: b", b"first frame")
    assert not transport.reading


@pytest.mark.asyncio
async def test_a_head_without_end_is_given_up_and_stays_so():
    head, _ = reader()
    head.data_received(b"x" * 20_000)
    head.data_received(b"\r\n\r\n")
    with pytest.raises(PeerError, match="has no end"):
        await head.head()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "reason"), [(None, "the connection was closed"), (OSError("reset"), "reset")]
)
async def test_a_connection_that_ends_before_its_head_says_how(error: Exception | None, reason: str):
    head, _ = reader()
    head.connection_lost(error)
    with pytest.raises(PeerError, match=f"no answer to the handshake: {reason}"):
        await head.head()


@pytest.mark.asyncio
async def test_a_connection_that_ends_after_its_head_changes_nothing():
    head, _ = reader()
    head.data_received(b"HTTP/1.1 101 OK\r\n\r\n")
    head.connection_lost(None)
    assert await head.head() == (b"HTTP/1.1 101 OK", b"")


# -- a proxy


async def ask_proxy(answer: bytes | None, *, address: str = "ws://kas:81/", credentials: str = ""):
    """Go through a proxy that answers this, or leaves; what was asked, and where the next bytes go."""
    head, transport = reader()
    proxy = ProxyAddress(host="proxy", port=3128, credentials=Secret(credentials))
    if answer is None:
        head.connection_lost(None)
    else:
        head.data_received(answer)
    try:
        _, following = await _through_proxy(transport, head, parse_kas_address(address), proxy, None, None)
    except PeerError:
        assert transport.aborted
        raise
    assert transport.protocol is following
    assert transport.reading
    return transport.written.decode()


@pytest.mark.asyncio
async def test_a_proxy_is_asked_for_the_host_and_the_port():
    asked = await ask_proxy(b"HTTP/1.0 200 Connection established\r\n\r\n")
    assert asked == "CONNECT kas:81 HTTP/1.1\r\nHost: kas:81\r\n\r\n"


@pytest.mark.asyncio
async def test_a_proxy_gets_its_credentials_and_an_ipv6_address_in_brackets():
    asked = await ask_proxy(b"HTTP/1.1 200 OK\r\n\r\n", address="ws://[2001:db8::1]/", credentials="me:pw")
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
        await ask_proxy(answer, credentials="me:hunter2")
    assert "hunter2" not in str(error.value)


@pytest.mark.asyncio
async def test_an_impatient_caller_leaves_no_connection_to_the_proxy():
    head, transport = reader()
    proxy = ProxyAddress(host="proxy", port=3128, credentials=Secret(""))
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(
            _through_proxy(transport, head, parse_kas_address("ws://kas/"), proxy, None, None)
        )
        await asyncio.sleep(0)
        asking.cancel()
    assert transport.aborted


# -- TLS


def test_certificates_are_checked_against_the_given_authority(tmp_path: Path):
    (tmp_path / "ca.crt").write_bytes(make_certificates().ca_pem)
    context = tls_context(settings(ca_file=tmp_path / "ca.crt"))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert [name[-1][0][1] for name in (ca["subject"] for ca in context.get_ca_certs())] == ["test CA"]


def test_checking_is_off_only_when_told():
    context = tls_context(settings(insecure_skip_tls_verify=True))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_an_authority_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None):
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot use the CA certificates in .*ca\.crt"):
        tls_context(settings(ca_file=file))
