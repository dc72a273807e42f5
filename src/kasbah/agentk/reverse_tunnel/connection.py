"""A connection to kas, whatever tunnel it carries: what `module` needs to know of one, and what any of them says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kasbah.errors import PeerError
from kasbah.wire.rpc import Call, CallHandler, Metadata
from kasbah.wire.stream import Stream, StreamHandler, StreamKind

StreamAcceptor = Callable[[StreamKind, bytes, Stream], StreamHandler]
"""Given what a stream opens, its opening and the stream: who handles it. It may answer or reset at once."""


class KasConnection(asyncio.Protocol):
    """From the end of dialling to the end of one connection."""

    kind: str
    """The metrics' name of the tunnel: `native` or `grpc`."""
    state: ConnectionState
    failure: str
    """Why the connection broke or was refused; empty when it was neither."""

    @property
    def agent_id(self) -> int | None:
        """Who kas says we are, if it says so on this connection."""
        return None

    @property
    def tunnels(self) -> int:
        """How many of an agent's tunnels this connection takes up, where they are counted."""
        return 0

    @property
    def is_ready(self) -> bool:
        """Whether kas has shown that it takes our tunnels here."""
        raise NotImplementedError

    def open_call(self, path: str, handler: CallHandler, metadata: Metadata = ()) -> Call:
        """Make a call to kas.

        Raises:
            RpcError: UNAVAILABLE: none can be made here.
        """
        raise NotImplementedError

    def drain(self) -> None:
        """Take no new work; the connection closes when what runs on it is over."""
        raise NotImplementedError

    def tick(self, now: float) -> None:
        """Once a second, with a monotonic time."""
        raise NotImplementedError

    def close(self, reason: str = "") -> None:
        """Cut what runs, and close."""
        raise NotImplementedError


class ConnectionState:
    """How far one connection has come.

    Attributes:
        leaving: set when no new work comes here: kas drains, or the connection is gone.
        closed: set when the socket is gone.
    """

    def __init__(self) -> None:
        self._admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.leaving = asyncio.Event()
        self.closed = asyncio.Event()

    @property
    def is_admitted(self) -> bool:
        return self._admitted.done() and self._admitted.exception() is None

    async def admission(self) -> None:
        """Wait until kas has taken the connection.

        Raises:
            PeerError: it has refused, or the connection is gone.
        """
        await self._admitted

    def admit(self) -> None:
        if not self._admitted.done():
            self._admitted.set_result(None)

    def refuse(self, reason: str) -> None:
        """Nothing happens once the connection was taken."""
        if not self._admitted.done():
            self._admitted.set_exception(PeerError(reason, retryable=True))
            self._admitted.exception()  # whoever waits sees it; if nobody does, that is no warning

    def lost(self, reason: str) -> None:
        self.refuse(reason)
        self.leaving.set()
        self.closed.set()
