"""Listens on the public addresses and owns the connections: how many, how old, and how they end.

Several addresses, plain or TLS, show the same surface. One timer moves the coarse clock and sweeps all connections,
so no request costs a timer of its own. Stopping is in two steps: `drain` refuses new work and lets what runs finish,
then `run` is cancelled and whatever is left is cut.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from collections import Counter as Tally
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import structlog
from prometheus_client import Counter, Gauge

from kasbah.kas.http_server.clock import CoarseClock
from kasbah.kas.http_server.connection import Connection
from kasbah.kas.http_server.exchange import Http2Accept, Route
from kasbah.kas.http_server.handshake import Handshake
from kasbah.kas.http_server.settings import HttpServerSettings
from kasbah.kit.end_of_turn import EndOfTurn

_log = structlog.get_logger()
_TICK_S = 0.5
_BACKLOG = 1024
_ALPN_WITH_HTTP2: Final = ("http/1.1", "h2")
"""In the server's order: who offers both, as browsers and kubectl do, keeps HTTP/1.1; gRPC offers nothing but h2."""

CONNECTIONS: Final = Gauge("kasbah_kas_http_connections", "Open connections on the public addresses")
REFUSED: Final = Counter(
    "kasbah_kas_http_connections_refused", "Connections refused because there are too many", ["limit"]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """One address to listen on."""

    host: str
    """Empty: every address of this machine, of either family (`::` would be IPv6 alone)."""
    port: int
    """0 lets the system choose."""
    tls: ssl.SSLContext | None = None
    sockets: Sequence[socket.socket] = ()
    """Bound to it already by whoever composes us; they are closed when we stop."""


def make_tls_context(certificate_file: str, key_file: str) -> ssl.SSLContext:
    """A server's context: TLS 1.2 or later, HTTP/1.1 by ALPN (and HTTP/2 where the server speaks it).

    Raises:
        OSError: a file cannot be read or does not hold what it should (`ssl.SSLError` is one).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.load_cert_chain(certificate_file, key_file)
    return context


class HttpServer:
    """The public server; `run` it inside somebody's TaskGroup."""

    def __init__(
        self,
        listens: Sequence[Listen],
        route: Route,
        settings: HttpServerSettings | None = None,
        *,
        accept_http2: Http2Accept | None = None,
    ) -> None:
        """Without `accept_http2`, HTTP/2 is refused as a malformed request."""
        self.settings = settings or HttpServerSettings()
        self.route = route
        self.accept_http2 = accept_http2
        self.clock = CoarseClock(time.monotonic(), time.time())
        self.addresses: list[tuple[str, int]] = []
        """Where it listens, in the order given, once it is ready."""
        self._listens = list(listens)
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._handshakes: set[Handshake] = set()
        self._strangers = 0
        self._strangers_by_source: Tally[str] = Tally()
        self._draining = False
        self._empty = asyncio.Event()
        self.flush_soon = EndOfTurn().flush
        """Flush the connection at the end of this turn of the loop."""

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until cancelled; `ready` is called once every address is bound.

        Raises:
            OSError: an address cannot be bound.
        """
        with ExitStack() as stack:
            stack.callback(self._cut_all)
            stack.callback(self._close_servers)
            for listen in self._listens:
                servers = await self._serve(listen)
                self.addresses.append(servers[0].sockets[0].getsockname()[:2])
            ready()
            await self._keep_time()

    async def drain(self) -> None:
        """Accept nothing new, close what is idle, and wait for what runs, at most `settings.drain_s`."""
        self._draining = True
        self._close_servers()
        for connection in list(self._connections):
            connection.drain()
        if not self._connections:
            return
        self._empty.clear()
        try:
            async with asyncio.timeout(self.settings.drain_s):
                await self._empty.wait()
        except TimeoutError:
            _log.warning("requests did not finish in time", connections=len(self._connections))

    # What connections call.

    def admit(self, connection: Connection) -> bool:
        """Count a new connection; False when it is one too many."""
        if isinstance(connection.transport, Handshake):
            self.handshake_over(connection.transport)
        self._connections.add(connection)
        CONNECTIONS.set(len(self._connections))
        source = source_of(connection.address)
        self._strangers += 1
        self._strangers_by_source[source] += 1
        limit = self._limit_hit(source)
        if limit:
            REFUSED.labels(limit).inc()
        return not limit

    def authenticated(self, connection: Connection) -> None:
        """This connection's client is no stranger any more."""
        connection.stranger = False
        self._no_stranger(source_of(connection.address))

    def hand_over(self, connection: Connection) -> None:
        """The connection is somebody else's now; a stranger's it stays until `authenticated`."""
        self._connections.discard(connection)
        CONNECTIONS.set(len(self._connections))
        if not self._connections:
            self._empty.set()

    def forget(self, connection: Connection) -> None:
        """The connection is gone."""
        if connection in self._connections:
            self.hand_over(connection)
            if connection.stranger:
                self.authenticated(connection)

    def _limit_hit(self, source: str) -> str:
        if self._draining:
            return "draining"
        if len(self._connections) > self.settings.max_connections:
            return "total"
        if self._strangers > self.settings.max_strangers:
            return "strangers"
        if source and self._strangers_by_source[source] > self.settings.max_strangers_per_source:
            return "strangers_per_source"
        return ""

    def handshake_began(self, handshake: Handshake) -> bool:
        """Count a client that shakes hands; False when it is one too many."""
        self._handshakes.add(handshake)
        handshake.due = self.clock.now + self.settings.head_timeout_s
        source = source_of(handshake.address)
        self._strangers += 1
        self._strangers_by_source[source] += 1
        limit = self._limit_hit(source)
        if limit:
            REFUSED.labels(limit).inc()
            self.handshake_over(handshake)
        return not limit

    def handshake_over(self, handshake: Handshake) -> None:
        """It is a connection now, or nothing."""
        if handshake in self._handshakes:
            self._handshakes.discard(handshake)
            self._no_stranger(source_of(handshake.address))

    def _no_stranger(self, source: str) -> None:
        self._strangers -= 1
        self._strangers_by_source[source] -= 1
        if not self._strangers_by_source[source]:
            del self._strangers_by_source[source]

    def _protocol_factory(self, listen: Listen) -> Callable[[], asyncio.Protocol]:
        tls = listen.tls
        if tls is None:
            return lambda: Connection(self)
        if self.accept_http2 is not None:
            tls.set_alpn_protocols(_ALPN_WITH_HTTP2)
        return lambda: Handshake(tls, Connection(self, secure=True), self)

    async def _serve(self, listen: Listen) -> list[asyncio.Server]:
        loop, factory = asyncio.get_running_loop(), self._protocol_factory(listen)
        if listen.sockets:
            servers = [await _serve_socket(loop, factory, bound) for bound in listen.sockets]
        else:
            servers = [await loop.create_server(factory, listen.host, listen.port, backlog=_BACKLOG)]
        self._servers += servers
        return servers

    def _close_servers(self) -> None:
        for server in self._servers:
            server.close()

    async def _keep_time(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            self.clock.tick(now, time.time())
            for connection in list(self._connections):
                try:
                    connection.sweep(now)
                except Exception:  # noqa: BLE001 - the border: one broken connection must not end the server
                    _log.exception("a connection crashed")
                    connection.cut()
            for handshake in [late for late in self._handshakes if late.due <= now]:
                handshake.abort()
            await asyncio.sleep(_TICK_S)

    def _cut_all(self) -> None:
        for connection in list(self._connections):
            connection.cut()
        for handshake in list(self._handshakes):
            handshake.abort()


async def _serve_socket(
    loop: asyncio.AbstractEventLoop, factory: Callable[[], asyncio.Protocol], bound: socket.socket
) -> asyncio.Server:
    if bound.family == socket.AF_UNIX:
        return await loop.create_unix_server(factory, sock=bound, backlog=_BACKLOG)
    return await loop.create_server(factory, sock=bound, backlog=_BACKLOG)


def source_of(address: str) -> str:
    """The network a client's address belongs to: its /24 or /56; empty for this machine itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    if parsed.is_loopback:
        return ""
    prefix = 24 if parsed.version == 4 else 56
    return str(ipaddress.ip_network((parsed, prefix), strict=False))
