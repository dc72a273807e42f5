"""One connection between two kas, either end of it: the native tunnel on a WebSocket whose handshake named the caller.

The end that dialled opens Kubernetes API streams with what it would say to an agent; the other takes them. Neither
opens anything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from kasbah.kas.reverse_tunnel.unmask import unmask
from kasbah.wire.native_tunnel.connection import TunnelConnection
from kasbah.wire.native_tunnel.engine import Role
from kasbah.wire.native_tunnel.frames import GoAwayCode
from kasbah.wire.native_tunnel.tunnel_stream import TunnelProtocolError, TunnelStream
from kasbah.wire.stream import StreamHandler, StreamKind

PATH: Final = b"/-/kasbah/private-api"
"""What is asked for in the handshake."""
SUBPROTOCOL: Final = "kasbah-replica.v1"

Accept = Callable[[bytes, TunnelStream], StreamHandler]
"""Given a stream's opening and the stream: who handles it. It may be reset at once."""


class ConnectionOwner(Protocol):
    """Whoever dialled, or was dialled."""

    def leaving(self, connection: ReplicaConnection) -> None:
        """The peer takes no new streams."""

    def lost(self, connection: ReplicaConnection) -> None:
        """The socket is gone."""


class ReplicaConnection(TunnelConnection, asyncio.Protocol):
    """Between the handshake and the end.

    Attributes:
        used_at: when a stream was last running here, by the loop's clock.
    """

    def __init__(
        self, owner: ConnectionOwner, transport: asyncio.Transport, *, accept: Accept | None, now: float
    ) -> None:
        """With `accept` this end was dialled, and takes streams; without, it dialled and opens them."""
        super().__init__(
            Role.AGENT if accept else Role.KAS,
            transport,
            asyncio.get_running_loop().call_soon,
            unmask=unmask if accept else None,
            greeted=True,
        )
        self._owner = owner
        self._accept = accept
        self.began_at = now
        self.used_at = now

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._owner.lost(self)

    def tick(self, now: float) -> None:
        if self.tunnel.stream_count:
            self.used_at = now
        super().tick(now)

    def stream_opened(self, kind: StreamKind, opening: bytes, stream: TunnelStream) -> StreamHandler:
        if self._accept is None or kind is not StreamKind.KUBERNETES_API:
            raise TunnelProtocolError("between replicas only the one that dialled opens streams, to agents")
        return self._accept(opening, stream)

    def go_away_received(self, code: GoAwayCode, message: str) -> None:  # noqa: ARG002 - replicas only drain
        self._owner.leaving(self)
