"""Asks an HTTP proxy for a way to kas (CONNECT, RFC 9110 9.3.6)."""

from __future__ import annotations

import asyncio
import base64

from kasbah.agentk.reverse_tunnel.address import KasAddress
from kasbah.agentk.reverse_tunnel.head_reader import HeadReader
from kasbah.errors import PeerError
from kasbah.kit.http_proxy import ProxyAddress


async def ask(
    transport: asyncio.Transport, reader: HeadReader, address: KasAddress, proxy: ProxyAddress
) -> None:
    """Have the proxy connect us; afterwards the connection leads to kas.

    Raises:
        PeerError: it does not.
    """
    transport.write(_request(address, proxy))
    head = await reader.head()
    status = head.split(b"\r\n", 1)[0].decode(errors="replace")
    if not status.startswith(("HTTP/1.1 2", "HTTP/1.0 2")):
        raise PeerError(f"the proxy {proxy.host}:{proxy.port} refused: {status[:128]}", retryable=True)


def _request(address: KasAddress, proxy: ProxyAddress) -> bytes:
    lines = [f"CONNECT {address.host_port} HTTP/1.1", f"Host: {address.host_port}"]
    if proxy.credentials:
        encoded = base64.b64encode(proxy.credentials.reveal().encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {encoded}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
