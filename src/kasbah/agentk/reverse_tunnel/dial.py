"""Dials kas: TCP, a proxy's CONNECT, TLS, and the WebSocket handshake; nothing of it lasts."""

from __future__ import annotations

import asyncio
import base64
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from kasbah.agentk.reverse_tunnel import proxy, tcp, tls, websocket_handshake
from kasbah.agentk.reverse_tunnel.address import find_proxy
from kasbah.agentk.reverse_tunnel.head_reader import HeadReader
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings, TunnelChoice
from kasbah.errors import PeerError

P = TypeVar("P", bound=asyncio.Protocol)


async def dial(
    settings: ReverseTunnelSettings,
    context: ssl.SSLContext | None,
    user_agent: str,
    make_protocol: Callable[[asyncio.Transport, TunnelChoice], P],
) -> P:
    """Open a connection to kas and put a protocol on it: the one for the tunnel that kas chose.

    Each step has its own time limit; the caller owns that of the whole. Cancelled half-way it leaves no connection
    behind.

    Raises:
        PeerError: kas cannot be reached, is not kas, or speaks no tunnel of ours.
    """
    way = find_proxy(settings.address, settings.proxy)
    host, port = (way.host, way.port) if way is not None else (settings.address.host, settings.address.port)
    transport, reader = await tcp.connect(host, port, settings.connect_timeout_s)
    try:
        if way is not None:
            async with _at_most(settings.answer_timeout_s, "the proxy does not answer"):
                await proxy.ask(transport, reader, settings.address, way)
        if context is not None:
            async with _at_most(settings.tls_timeout_s, "the TLS handshake has no end"):
                transport, reader = await tls.secure(transport, reader, context, settings)
        tunnel = TunnelChoice.GRPC
        if not settings.address.grpc:
            async with _at_most(settings.answer_timeout_s, "no answer to the WebSocket handshake"):
                tunnel = await _shake_hands(transport, reader, settings, user_agent)
        return reader.hand_over(transport, lambda: make_protocol(transport, tunnel))
    except BaseException:
        transport.abort()
        raise


async def _shake_hands(
    transport: asyncio.Transport, reader: HeadReader, settings: ReverseTunnelSettings, user_agent: str
) -> TunnelChoice:
    key = base64.b64encode(secrets.token_bytes(16))
    transport.write(websocket_handshake.request(settings, key, user_agent))
    return websocket_handshake.chosen_tunnel(await reader.head(), key, settings)


@asynccontextmanager
async def _at_most(seconds: float, complaint: str) -> AsyncIterator[None]:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if limit.expired():
            raise PeerError(f"{complaint} within {seconds:g} s", retryable=True) from error
        raise
