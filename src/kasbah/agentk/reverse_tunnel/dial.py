"""Dials kas: TCP, a proxy's CONNECT, TLS, and the WebSocket handshake; nothing of it lasts.

Redirects are not followed. The agent token is not part of the handshake: it is said inside the tunnel, once the far
end has shown that it is kas.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import ssl
from collections.abc import Callable
from typing import Final, TypeVar

from kasbah.agentk.reverse_tunnel.address import KasAddress, ProxyAddress, find_proxy
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.errors import PeerError, UserError
from kasbah.wire.websocket import GRPC_SUBPROTOCOL, NATIVE_SUBPROTOCOL, accept_key

_MAX_HEAD: Final = 16 * 1024

P = TypeVar("P", bound=asyncio.Protocol)


class _HeadReader(asyncio.Protocol):
    """Reads one response head and stops reading, so that whoever comes next misses no byte."""

    def __init__(self) -> None:
        self._buffer = b""
        self._head: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    async def head(self) -> tuple[bytes, bytes]:
        """The head without its empty line, and what came after it."""
        return await self._head

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # asyncio's own annotation is too wide

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if self._head.done():
            return
        if separator:
            if self._transport is not None:
                self._transport.pause_reading()
            self._head.set_result((head, rest))
        elif len(self._buffer) > _MAX_HEAD:
            self._head.set_exception(PeerError("the answer to the handshake has no end", retryable=True))

    def connection_lost(self, error: Exception | None) -> None:
        if not self._head.done():
            reason = str(error) if error else "the connection was closed"
            self._head.set_exception(PeerError(f"no answer to the handshake: {reason}", retryable=True))


def tls_context(settings: ReverseTunnelSettings) -> ssl.SSLContext:
    """The context for `wss`; made once, it reads the CA file.

    Raises:
        UserError: the CA file cannot be read or holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UserError(f"cannot use the CA certificates in {settings.ca_file}: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if settings.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def dial(
    settings: ReverseTunnelSettings,
    context: ssl.SSLContext | None,
    user_agent: str,
    make_protocol: Callable[[asyncio.Transport], P],
) -> P:
    """Open a WebSocket to kas and put a protocol on it; the caller owns the time limit.

    Cancelled half-way it leaves no connection behind.

    Raises:
        PeerError: kas cannot be reached, is not kas, or does not speak the native tunnel.
    """
    address = settings.address
    proxy = find_proxy(address, settings.proxy)
    transport, reader = await _connect(settings, context, proxy)
    try:
        key = base64.b64encode(secrets.token_bytes(16))
        transport.write(_handshake(settings, key, user_agent))
        head, rest = await reader.head()
        _check_answer(head, key)
    except BaseException:
        transport.abort()
        raise
    protocol = make_protocol(transport)
    transport.set_protocol(protocol)
    transport.resume_reading()
    if rest:
        protocol.data_received(rest)
    return protocol


async def _connect(
    settings: ReverseTunnelSettings, context: ssl.SSLContext | None, proxy: ProxyAddress | None
) -> tuple[asyncio.Transport, _HeadReader]:
    loop = asyncio.get_running_loop()
    address = settings.address
    server_name = (settings.tls_server_name or address.host) if context else None
    try:
        if proxy is None:
            return await loop.create_connection(
                _HeadReader, address.host, address.port, ssl=context, server_hostname=server_name
            )
        transport, reader = await loop.create_connection(_HeadReader, proxy.host, proxy.port)
    except ssl.SSLCertVerificationError as error:
        raise PeerError(
            f"the certificate of {address.host}:{address.port} is not trusted: {error.verify_message}; "
            "give its authority with --kas-ca-cert-file",
            retryable=True,
        ) from error
    except OSError as error:
        where = f"proxy {proxy.host}:{proxy.port}" if proxy else f"{address.host}:{address.port}"
        raise PeerError(f"cannot connect to {where}: {error}", retryable=True) from error
    return await _through_proxy(transport, reader, address, proxy, context, server_name)


async def _through_proxy(
    transport: asyncio.Transport,
    reader: _HeadReader,
    address: KasAddress,
    proxy: ProxyAddress,
    context: ssl.SSLContext | None,
    server_name: str | None,
) -> tuple[asyncio.Transport, _HeadReader]:
    try:
        host = f"[{address.host}]" if ":" in address.host else address.host
        lines = [f"CONNECT {host}:{address.port} HTTP/1.1", f"Host: {host}:{address.port}"]
        if proxy.credentials:
            encoded = base64.b64encode(proxy.credentials.reveal().encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {encoded}")
        transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head, _ = await reader.head()
        status = head.split(b"\r\n", 1)[0].decode(errors="replace")
        if not status.startswith(("HTTP/1.1 200", "HTTP/1.0 200")):
            raise PeerError(f"the proxy {proxy.host}:{proxy.port} refused: {status[:128]}", retryable=True)
        next_reader = _HeadReader()
        transport.set_protocol(next_reader)
        transport.resume_reading()
        next_reader.connection_made(transport)
        if context is None:
            return transport, next_reader
        secured = await asyncio.get_running_loop().start_tls(
            transport, next_reader, context, server_hostname=server_name
        )
        if secured is None:
            raise PeerError("the proxy closed the connection during the TLS handshake", retryable=True)
        next_reader.connection_made(secured)
    except OSError as error:
        transport.abort()
        raise PeerError(f"TLS through the proxy failed: {error}", retryable=True) from error
    except BaseException:
        transport.abort()
        raise
    return secured, next_reader


def _handshake(settings: ReverseTunnelSettings, key: bytes, user_agent: str) -> bytes:
    address = settings.address
    lines = [
        f"GET {address.target} HTTP/1.1",
        f"Host: {address.authority}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key.decode()}",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: {NATIVE_SUBPROTOCOL}, {GRPC_SUBPROTOCOL}",
        f"User-Agent: {user_agent}",
        *(f"{name}: {value}" for name, value in settings.headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _check_answer(head: bytes, key: bytes) -> None:
    lines = head.split(b"\r\n")
    status = lines[0].decode(errors="replace")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])
    }
    if not status.startswith("HTTP/1.1 101"):
        raise PeerError(f"kas refused the WebSocket: {status[:128]}", retryable=True)
    if headers.get(b"sec-websocket-accept") != accept_key(key):
        raise PeerError("the answer to the WebSocket handshake is not for us", retryable=True)
    chosen = headers.get(b"sec-websocket-protocol", b"").decode(errors="replace")
    if chosen != NATIVE_SUBPROTOCOL:
        raise PeerError(
            f"the far end speaks {chosen[:32] or 'no subprotocol'}, not {NATIVE_SUBPROTOCOL}", retryable=True
        )
