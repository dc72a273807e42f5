"""Connections to other replicas: one for each URL, dialled when it is wanted, kept while it is used.

Asking never waits: there is a connection, or one is being dialled, or the URL failed a moment ago and is left alone
for a while. Whoever waits is told when a connection is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Gauge

from kasbah.errors import UserError
from kasbah.kas.private_api.connection import ReplicaConnection
from kasbah.kas.private_api.dial import ReplicaUnreachableError, dial
from kasbah.kas.private_api.jwt import ReplicaJwt
from kasbah.kas.private_api.settings import PrivateApiSettings
from kasbah.kas.private_api.url import parse_url
from kasbah.kit.backoff import Backoff, BackoffSettings
from kasbah.kit.jitter import chance
from kasbah.wire.native_tunnel.engine import NativeTunnel

_log = structlog.get_logger()
_connections: Final = Gauge(
    "kasbah_kas_replica_connections",
    "Connections between this kas and others, by who dialled.",
    ["dialled_by"],
)
DIALLED_BY_US: Final = _connections.labels("us")
DIALLED_BY_THEM: Final = _connections.labels("them")

LEFT_ALONE: Final = BackoffSettings(initial_s=1, maximum_s=5, reset_s=30, jitter=0.2)
"""A kas that died is published until its entries leave: asking it again and again costs every request a dial."""
_MAX_REPLICAS: Final = 1000


class _Replica:
    """What is known of one URL."""

    __slots__ = ("backoff", "connection", "dialling", "left_alone_until")

    def __init__(self) -> None:
        self.backoff = Backoff(LEFT_ALONE)
        self.connection: ReplicaConnection | None = None
        self.dialling = False
        self.left_alone_until = 0.0


class Replicas:
    """Every other kas that was ever wanted; `run` dials and looks after the connections.

    Attributes:
        on_connected: called with the URL whenever a connection is there.
    """

    def __init__(self, settings: PrivateApiSettings, proof: ReplicaJwt) -> None:
        self._settings = settings
        self._proof = proof
        self._replicas: dict[str, _Replica] = {}
        self._open: set[ReplicaConnection] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self.on_connected: Callable[[str], None] = lambda _url: None

    async def run(self) -> None:
        """Until cancelled; then close every connection."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                while True:
                    await asyncio.sleep(1)
                    for connection in list(self._open):
                        self._tick(connection, loop.time())
        finally:
            self._tasks = None
            for connection in list(self._open):
                connection.close("this kas stops")

    def tunnel(self, url: str) -> NativeTunnel | None:
        """The connection to this replica if it takes streams now; when there is none, one is dialled if that is due."""
        replica = self._replicas.get(url)
        if replica is None:
            if len(self._replicas) >= _MAX_REPLICAS:
                self._replicas.pop(next(iter(self._replicas)))
            replica = self._replicas[url] = _Replica()
        if replica.connection is not None and replica.connection.tunnel.can_open:
            return replica.connection.tunnel
        is_due = not replica.dialling and asyncio.get_running_loop().time() >= replica.left_alone_until
        if is_due and self._tasks is not None:
            replica.dialling = True
            self._tasks.create_task(self._dial(url, replica), name="dial replica")
        return None

    def suspect(self, url: str) -> None:
        """It did not answer: leave it alone for a while; what runs on its connection may go on."""
        replica = self._replicas.get(url)
        if replica is not None:
            replica.connection = None
            self._leave_alone(replica)

    # -- a connection's life -------------------------------------------------------------------------------------

    async def _dial(self, url: str, replica: _Replica) -> None:
        """A supervision border: a replica that cannot be reached is left alone, whatever the reason."""
        settings, loop = self._settings, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(settings.dial_timeout_s):
                connection = await dial(
                    parse_url(url),
                    self._proof.sign(),
                    lambda transport: ReplicaConnection(self, transport, accept=None, now=loop.time()),
                    tls=settings.tls,
                    server_name=settings.server_name,
                )
        except (ReplicaUnreachableError, UserError, TimeoutError) as error:
            self._leave_alone(replica)
            _log.warning("replica cannot be reached", url=url, error=str(error) or "no answer in time")
            return
        finally:
            replica.dialling = False
        replica.connection = connection
        self._open.add(connection)
        DIALLED_BY_US.inc()
        _log.info("replica connected", url=url)
        self.on_connected(url)

    def _leave_alone(self, replica: _Replica) -> None:
        now = asyncio.get_running_loop().time()
        replica.left_alone_until = now + replica.backoff.failed(now, chance())

    def _tick(self, connection: ReplicaConnection, now: float) -> None:
        try:
            connection.tick(now)
            if now - connection.used_at > self._settings.idle_s:
                connection.close("idle")
        except Exception:  # noqa: BLE001 - a bug of ours must cost one connection, not the process
            _log.exception("replica tick crashed")
            connection.abort("a bug in kas")

    def leaving(self, connection: ReplicaConnection) -> None:
        """It drains: the next stream dials again; what runs goes on."""
        for replica in self._replicas.values():
            if replica.connection is connection:
                replica.connection = None

    def lost(self, connection: ReplicaConnection) -> None:
        """The socket is gone."""
        self.leaving(connection)
        if connection in self._open:
            self._open.discard(connection)
            DIALLED_BY_US.dec()
