"""The two sides of an upstream connection, recorded: who asks (an exchange) and who owns connections (a pool)."""

from __future__ import annotations

from dataclasses import dataclass, field

from kasbah.kube.connection import Exchange, UpstreamConnection
from kasbah.kube.errors import UpstreamError
from kasbah.kube.response_head import ResponseHead
from tests.doubles.upstream_transport import UpstreamTransport


@dataclass(eq=False)
class RecordingExchange:
    """Asks one request and writes the answer down."""

    request: bytes = b"GET / HTTP/1.1\r\n\r\n"
    request_open: bool = False
    bodiless: bool = False
    upgrade: bytes = b""
    connection: UpstreamConnection | None = None
    head: ResponseHead | None = None
    body: bytes = b""
    ended: bool = False
    error: UpstreamError | None = None
    stale: bool = False
    paused: bool = False

    def connected(self, connection: UpstreamConnection) -> None:
        self.connection = connection
        connection.begin(
            self, self.request, request_open=self.request_open, bodiless=self.bodiless, upgrade=self.upgrade
        )

    def answer_began(self, head: ResponseHead) -> None:
        self.head = head

    def answer_data(self, data: bytes) -> None:
        self.body += data

    def answer_ended(self) -> None:
        self.ended = True

    def exchange_failed(self, error: UpstreamError, *, stale: bool) -> None:
        self.error, self.stale = error, stale

    def writing_paused(self) -> None:
        self.paused = True

    def writing_resumed(self) -> None:
        self.paused = False


@dataclass
class RecordingOwner:
    """A pool that only counts."""

    released: int = 0
    discarded: int = 0
    patient: bool = False
    """Nothing is flushed before a test does."""

    def flush_soon(self, connection: UpstreamConnection) -> None:
        if not self.patient:
            connection.flush()  # tests look at once

    def release(self, connection: UpstreamConnection) -> None:
        self.released += 1

    def discard(self, connection: UpstreamConnection) -> None:
        self.discarded += 1


@dataclass
class FakeConnections:
    """Hands out connections over fake transports, at once or when told to."""

    at_once: bool = True
    tls: bool = False
    waiting: list[Exchange] = field(default_factory=list)
    transports: list[UpstreamTransport] = field(default_factory=list)
    connections: list[UpstreamConnection] = field(default_factory=list)
    forgotten: list[Exchange] = field(default_factory=list)
    owner: RecordingOwner = field(default_factory=RecordingOwner)

    def acquire(self, exchange: Exchange, *, fresh: bool = False) -> None:
        del fresh
        self.waiting.append(exchange)
        if self.at_once:
            self.connect()

    def forget(self, exchange: Exchange) -> None:
        self.forgotten.append(exchange)

    def connect(self) -> None:
        """Give the next waiting exchange a new connection."""
        transport = UpstreamTransport(tls=self.tls)
        connection = UpstreamConnection(self.owner)
        connection.connection_made(transport)
        self.transports.append(transport)
        self.connections.append(connection)
        self.waiting.pop(0).connected(connection)
