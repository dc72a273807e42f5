"""The connections to one API server: kept, handed out, dialled, aged.

A kept connection is handed over synchronously, so an ordinary request costs no task and no await. Only dialling takes
time; it happens in tasks of `run`, at most so many at once, each with a deadline. Whoever waits gets the first
connection that comes free, dialled for them or given back by somebody else.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from kasbah.kit.end_of_turn import EndOfTurn
from kasbah.kube import tls
from kasbah.kube.access import ClusterAccess
from kasbah.kube.connection import Exchange, UpstreamConnection
from kasbah.kube.errors import UnreachableError, unreachable
from kasbah.kube.sockets import keep_alive

_SWEEP_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    connect_timeout_s: float = 5.0
    """How long a dial may take, TLS included, in seconds."""
    idle_timeout_s: float = 30.0
    """A connection unused for this long is closed: well before the API server's own 90 s, so it is we who close."""
    max_idle: int = 128
    """Connections kept for later; more are closed after use."""
    max_connections: int = 16_384
    """Connections at once, watches included; more requests are refused. About 35 KiB each when they are idle."""
    max_dials: int = 64
    """Dials at once; a burst of watches waits here instead of at the API server's accept queue."""


class UpstreamPool:
    """All connections of this process to one API server."""

    def __init__(self, access: ClusterAccess, settings: PoolSettings | None = None) -> None:
        self.access = access
        self._settings = settings or PoolSettings()
        self._idle: list[
            UpstreamConnection
        ] = []  # the last one used is the first one taken; the rest may age
        self._waiting: OrderedDict[Exchange, float] = OrderedDict()
        self._waiting_fresh: OrderedDict[Exchange, float] = OrderedDict()
        self._connections: set[UpstreamConnection] = set()
        self.flush_soon = EndOfTurn().flush
        self._dialling = 0
        self._now = 0.0  # as of the last sweep: asking the clock costs a tenth of a small request
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    @property
    def idle_connections(self) -> int:
        return len(self._idle)

    async def run(self) -> None:
        """Dial for whoever waits and close what is too old, until cancelled; then close everything."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                while True:
                    self._now = loop.time()
                    await asyncio.sleep(_SWEEP_S)
                    self.close_idle(loop.time() - self._settings.idle_timeout_s)
        finally:
            self._tasks = None
            self.close_idle(float("inf"))
            self._refuse_all(UnreachableError("agentk is stopping"))

    # For exchanges

    def acquire(self, exchange: Exchange, *, fresh: bool = False) -> None:
        """Call `exchange.connected` with a connection, at once when one is kept.

        Args:
            exchange: hears `connected`, or `exchange_failed` when there is no way to connect.
            fresh: only a connection that nobody has used will do (an upgrade, a repetition).
        """
        if self._idle and not fresh:
            exchange.connected(self._idle.pop())
        elif self._tasks is None:
            exchange.exchange_failed(
                UnreachableError("agentk is not connected to its cluster yet, or stopping"), stale=False
            )
        elif len(self._connections) + self._dialling + self._waiting_count >= self._settings.max_connections:
            exchange.exchange_failed(
                UnreachableError(f"{self._settings.max_connections} connections to the API server are open"),
                stale=False,
            )
        else:
            queue = self._waiting_fresh if fresh else self._waiting
            queue[exchange] = asyncio.get_running_loop().time()
            self._dial_if_wanted()

    def forget(self, exchange: Exchange) -> None:
        """Nobody wants this connection any more."""
        if self._waiting.pop(exchange, None) is None:
            self._waiting_fresh.pop(exchange, None)

    # For connections

    def release(self, connection: UpstreamConnection) -> None:
        if self._waiting:
            exchange, _ = self._waiting.popitem(last=False)
            exchange.connected(connection)
        elif len(self._idle) >= self._settings.max_idle or self._tasks is None:
            connection.abort()
        else:
            connection.idle_since = self._now
            self._idle.append(connection)

    def discard(self, connection: UpstreamConnection) -> None:
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close_idle(self, unused_since: float) -> None:
        """Close the kept connections that nobody has used since then."""
        for connection in [kept for kept in self._idle if kept.idle_since <= unused_since]:
            connection.abort()

    # Dialling

    @property
    def _waiting_count(self) -> int:
        return len(self._waiting) + len(self._waiting_fresh)

    def _dial_if_wanted(self) -> None:
        if self._tasks is None:
            return
        while self._dialling < min(self._waiting_count, self._settings.max_dials):
            self._dialling += 1
            self._tasks.create_task(self._dial(), name="dial API server")

    async def _dial(self) -> None:
        access = self.access
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                transport, connection = await tls.open_connection(
                    lambda: UpstreamConnection(self),
                    access.host,
                    access.port,
                    context=access.tls,
                    server_name=access.server_name,
                )
        except (OSError, TimeoutError) as error:
            self._dialling -= 1
            self._fail_waiting(unreachable(access.host, access.port, error), loop.time())
        else:
            self._dialling -= 1
            keep_alive(transport)
            self._hand_out(connection)
        self._dial_if_wanted()

    def _hand_out(self, connection: UpstreamConnection) -> None:
        if not connection.is_idle:  # lost again before anybody could use it
            return
        self._connections.add(connection)
        if self._waiting_fresh:
            exchange, _ = self._waiting_fresh.popitem(last=False)
            exchange.connected(connection)
        else:
            self.release(connection)

    def _fail_waiting(self, error: UnreachableError, now: float) -> None:
        """The one who waits longest hears of it, and everyone who has waited as long as a dial may take."""
        too_long = now - self._settings.connect_timeout_s
        for queue in (self._waiting_fresh, self._waiting):
            failed = 0
            while queue and (failed == 0 or next(iter(queue.values())) <= too_long):
                exchange, _ = queue.popitem(last=False)
                exchange.exchange_failed(error, stale=False)
                failed += 1

    def _refuse_all(self, error: UnreachableError) -> None:
        for queue in (self._waiting_fresh, self._waiting):
            while queue:
                exchange, _ = queue.popitem(last=False)
                exchange.exchange_failed(error, stale=False)
