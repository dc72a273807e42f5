"""Dials another replica: the socket, TLS, and a WebSocket handshake with the proof of who we are.

Directly, whatever proxies the environment names, and redirects are not followed: the URL was published by a kas of
this deployment. Nothing of it lasts but the connection.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import ssl
from collections.abc import Callable
from typing import Final, cast

from kasbah.errors import PeerError
from kasbah.kas.private_api.connection import PATH, SUBPROTOCOL, ReplicaConnection
from kasbah.kas.private_api.url import PrivateApiUrl
from kasbah.wire.websocket import accept_key

_MAX_HEAD: Final = 16 * 1024


class ReplicaUnreachableError(PeerError):
    """Another kas could not be dialled, or is not one of ours."""


async def dial(
    url: PrivateApiUrl,
    token: str,
    make_connection: Callable[[asyncio.Transport], ReplicaConnection],
    *,
    tls: ssl.SSLContext | None,
    server_name: str,
) -> ReplicaConnection:
    """A connection whose handshake is over; the caller owns the time limit. Cancelled it leaves nothing behind.

    `tls` is for URLs that ask for it, None the machine's trust; `server_name` stands in every replica's certificate, or is empty.

    Raises:
        ReplicaUnreachableError: nobody is there, its certificate is not trusted, or it refuses.
    """
    try:
        transport, answer = await _connect(url, tls, server_name or url.host)
    except OSError as error:  # ssl.SSLError is one
        raise ReplicaUnreachableError(f"cannot connect to {url}: {error}", retryable=True) from error
    try:
        key = base64.b64encode(secrets.token_bytes(16))
        transport.write(_request(url, key, token))
        head, rest = await answer.head
        _check(head, key, url)
    except BaseException:
        transport.abort()
        raise
    connection = make_connection(transport)
    transport.set_protocol(connection)
    if rest:
        connection.data_received(rest)
    transport.resume_reading()
    return connection


async def _connect(
    url: PrivateApiUrl, tls: ssl.SSLContext | None, server_name: str
) -> tuple[asyncio.Transport, _Answer]:
    loop = asyncio.get_running_loop()
    if url.path:
        return await loop.create_unix_connection(_Answer, url.path)
    if not url.tls:
        return await loop.create_connection(_Answer, url.host, url.port)
    return await loop.create_connection(
        _Answer, url.host, url.port, ssl=tls or True, server_hostname=server_name
    )


class _Answer(asyncio.Protocol):
    """Reads the answer's head and stops reading, so that whoever comes next misses no byte."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.head: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if self.head.done():
            return
        if end and self._transport is not None:
            self._transport.pause_reading()
            self.head.set_result((head, rest))
        elif len(self._buffer) > _MAX_HEAD:
            self.head.set_exception(ReplicaUnreachableError("the answer to the handshake has no end"))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.head.done():
            reason = str(error) if error else "the connection was closed"
            self.head.set_exception(ReplicaUnreachableError(f"no answer to the handshake: {reason}"))


def _request(url: PrivateApiUrl, key: bytes, token: str) -> bytes:
    host = f"[{url.host}]" if ":" in url.host else url.host
    lines = [
        f"GET {PATH.decode()} HTTP/1.1",
        f"Host: {host}:{url.port}" if host else "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key.decode()}",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: {SUBPROTOCOL}",
        f"Authorization: Bearer {token}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _check(head: bytes, key: bytes, url: PrivateApiUrl) -> None:
    status, *lines = head.split(b"\r\n")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)
    }
    if not status.startswith(b"HTTP/1.1 101"):
        said = status[:128].decode(errors="replace")
        raise ReplicaUnreachableError(
            f"{url} refused: {said}; do all replicas have the same secret and time?"
        )
    if headers.get(b"sec-websocket-accept") != accept_key(key):
        raise ReplicaUnreachableError(f"the answer of {url} to the handshake is not for us")
    if headers.get(b"sec-websocket-protocol") != SUBPROTOCOL.encode():
        raise ReplicaUnreachableError(f"{url} does not speak {SUBPROTOCOL}")
