"""The TLS of one client's connection, and the time until its handshake is over.

Who shakes hands is a stranger: counted with them, and cut when it takes too long. After the handshake the connection
machine above has the callbacks. A lost socket is told above at once, read or unread: whoever has gone wants nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol, cast

from kasbah.kas.http_server.settings import HttpServerSettings
from kasbah.kit.tls_transport import TlsTransport


class HandshakeOwner(Protocol):
    """What a handshake needs of the server."""

    settings: HttpServerSettings

    def handshake_began(self, handshake: Handshake) -> bool:
        """Count it; False when it is one too many."""

    def handshake_over(self, handshake: Handshake) -> None:
        """It succeeded, failed or was cut."""


class Handshake(TlsTransport):
    """Transport of the connection machine, on a TLS server's side."""

    def __init__(self, context: ssl.SSLContext, protocol: asyncio.Protocol, owner: HandshakeOwner) -> None:
        super().__init__(context, None, protocol, server_side=True)
        self._owner = owner
        self.address = ""
        self.due = 0.0
        """When the server cuts it, by the server's clock."""
        self._secure.add_done_callback(self._over)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        if self._owner.handshake_began(self):
            super().connection_made(transport)
        else:
            cast("asyncio.Transport", transport).abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._encrypted.clear()
        self._paused = False
        super().connection_lost(exc)

    def _over(self, secure: asyncio.Future[None]) -> None:
        secure.exception()  # looked at: a failed handshake is the client's affair
        self._owner.handshake_over(self)
