"""Dialling kas over real sockets: which address, and whose time is up."""

from __future__ import annotations

import asyncio
import socket

import pytest

from kasbah.agentk.reverse_tunnel import tcp
from kasbah.agentk.reverse_tunnel.address import parse_kas_address
from kasbah.agentk.reverse_tunnel.dial import dial
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.agentk.reverse_tunnel.tls import tls_context
from kasbah.errors import PeerError
from kasbah.kit.http_proxy import ProxySettings
from kasbah.kit.secrets import Secret
from tests.doubles.loopback_server import serving


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def only(*hosts: str, port: int):
    """A name server's answer, in this order."""

    def answer(addresses: list[tcp.Address]) -> None:
        addresses[:] = [(socket.AF_INET, (host, port)) for host in hosts]

    return answer


@pytest.mark.asyncio
async def test_the_next_address_is_tried_when_one_refuses():
    async with serving(silent) as server:
        order = only("127.0.0.9", "127.0.0.8", "127.0.0.1", port=server.port)
        transport, _ = await tcp.connect("127.0.0.1", server.port, 5, shuffle=order)
        assert transport.get_extra_info("peername")[0] == "127.0.0.1"
        assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        transport.abort()


@pytest.mark.asyncio
async def test_when_none_answers_each_is_named_with_its_reason():
    async with serving(silent) as server:
        port = server.port
    with pytest.raises(
        PeerError, match=rf"cannot connect to 127\.0\.0\.1:{port}: 127\.0\.0\.9: Connection refused; 127"
    ):
        await tcp.connect("127.0.0.1", port, 5, shuffle=only("127.0.0.9", "127.0.0.8", port=port))


@pytest.mark.asyncio
async def test_a_name_nobody_knows_is_said():
    with pytest.raises(PeerError, match=r"cannot resolve kas\.invalid"):
        await tcp.connect("kas.invalid", 1, 5)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("address", "proxied", "complaint"),
    [
        ("wss://127.0.0.1:{}", False, "the TLS handshake has no end within 0.1 s"),
        ("grpcs://127.0.0.1:{}", False, "the TLS handshake has no end within 0.1 s"),
        ("ws://127.0.0.1:{}", False, "no answer to the WebSocket handshake within 0.1 s"),
        ("grpc://kas.test:{}", True, "the proxy does not answer within 0.1 s"),
    ],
)
async def test_each_step_of_a_silent_far_end_has_its_time(address: str, proxied: bool, complaint: str):
    async with serving(silent) as server:
        url = Secret(f"http://127.0.0.1:{server.port}" if proxied else "")
        settings = ReverseTunnelSettings(
            address=parse_kas_address(address.format(server.port)),
            proxy=ProxySettings(https_proxy=url, http_proxy=url),
            tls_timeout_s=0.1,
            answer_timeout_s=0.1,
        )
        context = tls_context(settings) if settings.address.tls else None
        with pytest.raises(PeerError, match=complaint):
            await dial(settings, context, "test", lambda *_: asyncio.Protocol())


@pytest.mark.asyncio
async def test_a_port_without_tls_is_guessed():
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(plain) as server:
        settings = ReverseTunnelSettings(address=parse_kas_address(f"wss://127.0.0.1:{server.port}"))
        with pytest.raises(PeerError, match=r"is it a port without TLS \(ws:// or grpc://\)"):
            await dial(settings, tls_context(settings), "test", lambda *_: asyncio.Protocol())
