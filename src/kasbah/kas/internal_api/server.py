"""Answers the internal API: owns its connections, their age and their end, and the tasks of its calls.

Connections come from an HTTP server that hands HTTP/2 over, with its limits on strangers. A connection on which no
call was let in is dropped after a while; an old one is asked to go and come back, and cut some time later.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from kasbah.kas.http_server.exchange import Client, Exchange, NullExchange, Upgrade
from kasbah.kas.internal_api.authentication import CallerCheck
from kasbah.kas.internal_api.connection import MAX_MESSAGE_BYTES, InternalApiConnection
from kasbah.kas.internal_api.settings import InternalApiSettings
from kasbah.kit.jitter import chance
from kasbah.rpc.server import CallServer, Service
from kasbah.wire.http1 import RequestHead
from kasbah.wire.rpc import NOBODY, Call, CallHandler, Metadata, StatusCode

_log = structlog.get_logger()
_TICK_S: Final = 1.0
_AGE_JITTER: Final = 0.1
_TEXT: Final = b"this is the internal API of kas; it speaks gRPC\n"


@dataclass(frozen=True, slots=True)
class InternalCall:
    """What a handler knows of a call of the Git side."""

    peer: str
    """The socket's address, for logs."""


@dataclass(slots=True)
class _Life:
    """When what happens to a connection."""

    since: float
    retire_at: float
    cut_at: float = float("inf")


class InternalApi:
    """The server of one process; `run` it while connections come."""

    def __init__(
        self,
        services: Sequence[Service[InternalCall]],
        secret: bytes,
        settings: InternalApiSettings | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`secret` is what the Git side signs with, decoded; `clock` is seconds since 1970."""
        self._settings = settings or InternalApiSettings()
        self._calls = CallServer[InternalCall](
            services, log_fields=lambda call: {"peer": call.peer}, one_request_bytes=MAX_MESSAGE_BYTES
        )
        self.check_caller: Callable[[Metadata], None] = CallerCheck(secret, clock)
        self._connections: dict[InternalApiConnection, _Life] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._empty = asyncio.Event()
        self._draining = False

    async def run(self) -> None:
        """Look after connections until cancelled; then drop them all."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                while True:
                    await asyncio.sleep(_TICK_S)
                    self._tick(loop.time())
        finally:
            self._tasks = None
            for connection in list(self._connections):
                connection.close("shutting down")

    async def drain(self) -> None:
        """Take no new calls and wait for what runs, at most `settings.drain_s`."""
        self._draining = True
        for connection in list(self._connections):
            connection.engine.go_away("shutting down")
        self._empty.clear()
        if self._connections:
            try:
                async with asyncio.timeout(self._settings.drain_s):
                    await self._empty.wait()
            except TimeoutError:
                _log.warning("internal calls did not finish in time", connections=len(self._connections))

    # What the HTTP server calls.

    def accept(self, upgrade: Upgrade) -> None:
        """Take over a connection that began with HTTP/2's preface."""
        transport = upgrade.transport
        if self._tasks is None or self._draining or len(self._connections) >= self._settings.max_connections:
            _log.warning("internal connection refused", connections=len(self._connections))
            transport.abort()
            upgrade.known()
            return
        peer = transport.get_extra_info("peername")
        connection = InternalApiConnection(
            self,
            transport,
            peer=str(peer[0]) if isinstance(peer, tuple) else "",
            known=upgrade.known,
        )
        age_s = self._settings.max_connection_age_s * (1 - _AGE_JITTER * chance())
        self._connections[connection] = _Life(upgrade.since, upgrade.since + age_s)
        upgrade.set_protocol(connection)
        connection.data_received(upgrade.received)

    def exchange(self, head: RequestHead, client: Client) -> Exchange:
        """Tell a client that speaks HTTP/1.1 what is here; a `Route`."""
        bodiless = head.method == b"HEAD"
        client.start(
            b"HTTP/1.1 426 Upgrade Required\r\nContent-Type: text/plain\r\n", len(_TEXT), bodiless=bodiless
        )
        if not bodiless:
            client.write(_TEXT)
        client.finish()
        return NullExchange()

    # What connections call.

    def answer(self, path: str, call: Call, connection: InternalApiConnection) -> CallHandler:
        """Begin a call that was let in."""
        if self._tasks is None:
            call.fail(StatusCode.UNAVAILABLE, "the server stops")
            return NOBODY
        return self._calls.accept(path, call, InternalCall(connection.peer), self._tasks)

    def lost(self, connection: InternalApiConnection) -> None:
        """The connection is over."""
        self._connections.pop(connection, None)
        if not self._connections:
            self._empty.set()

    def _tick(self, now: float) -> None:
        for connection, life in list(self._connections.items()):
            try:
                self._age(connection, life, now)
                connection.tick(now)
            except Exception:  # noqa: BLE001 - the border: one broken connection must not end the server
                _log.exception("an internal connection crashed", peer=connection.peer)
                connection.abort("a bug in kas")

    def _age(self, connection: InternalApiConnection, life: _Life, now: float) -> None:
        if not connection.authenticated and now >= life.since + self._settings.greeting_timeout_s:
            connection.abort("no call was let in")
        elif now >= life.cut_at:
            connection.abort("too old")
        elif now >= life.retire_at:
            life.retire_at, life.cut_at = float("inf"), now + self._settings.connection_age_grace_s
            connection.engine.go_away("max_age")
