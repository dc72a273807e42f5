"""Connections to the API server, plain or with TLS on our own transport, which loses nothing and stays small."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TypeVar

from kasbah.kit.tls_transport import TlsTransport

P = TypeVar("P", bound=asyncio.Protocol)


async def open_connection(
    make_protocol: Callable[[], P],
    host: str,
    port: int,
    *,
    context: ssl.SSLContext | None,
    server_name: str | None,
) -> tuple[asyncio.Transport, P]:
    """As `loop.create_connection`, with our TLS where a context is given; the caller owns the time limit.

    Raises:
        OSError: the server cannot be reached, or TLS failed.
    """
    loop = asyncio.get_running_loop()
    if context is None:
        return await loop.create_connection(make_protocol, host, port)
    tls, secure = context, make_protocol()
    _, transport = await loop.create_connection(lambda: TlsTransport(tls, server_name, secure), host, port)
    try:
        await transport.secured()
    except BaseException:
        transport.abort()
        raise
    return transport, secure
