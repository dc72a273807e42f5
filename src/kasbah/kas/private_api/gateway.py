"""Takes other replicas' requests to agents that are connected here: the listening side of the private API.

Who connects must prove to be a kas of this deployment before anything else; until then it is a stranger, bounded and
timed by the HTTP machine. A request names its agent in the envelope that the routing kas made from its grant: the
authorisation is that kas', for both have the same secret. Only tunnels of this process are looked at, so nothing is
ever routed on. A request is taken, which is said at once by an empty head, or refused, and then nothing was done; while
the agent can carry no more, it waits for a moment before.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from prometheus_client import Counter

from kasbah.errors import PeerError, UserError
from kasbah.kas.http_server.exchange import Client, Exchange, NullExchange, Upgrade
from kasbah.kas.http_server.router import asks_for_websocket
from kasbah.kas.http_server.server import HttpServer
from kasbah.kas.private_api.connection import PATH, SUBPROTOCOL, ReplicaConnection
from kasbah.kas.private_api.jwt import NotAReplicaError, ReplicaJwt
from kasbah.kas.private_api.line import InLine, Line
from kasbah.kas.private_api.replicas import DIALLED_BY_THEM
from kasbah.kas.private_api.settings import PrivateApiSettings
from kasbah.kas.reverse_tunnel.handshake import check_handshake
from kasbah.kas.reverse_tunnel.registry import Granted
from kasbah.kit.jitter import chance
from kasbah.wire.http1 import RequestHead
from kasbah.wire.kubernetes_api import decode_opening
from kasbah.wire.native_tunnel.engine import State
from kasbah.wire.native_tunnel.frames import GoAwayCode
from kasbah.wire.native_tunnel.splice import splice
from kasbah.wire.native_tunnel.tunnel_stream import TunnelStream
from kasbah.wire.request_target import RefusedTargetError, parse_target
from kasbah.wire.stream import ResetCode, Stream, StreamClass, StreamHandler
from kasbah.wire.websocket import upgrade_response

_log = structlog.get_logger()
_strangers: Final = Counter(
    "kasbah_kas_replicas_refused", "Connections to the private API that were refused, by reason.", ["reason"]
)
_AGE_JITTER: Final = 0.1


class LocalTunnels(Line, Protocol):
    """The tunnels of this process; `TunnelRegistry` holds them."""

    def open_nowait(
        self, grant: Granted, opening: bytes, stream_class: StreamClass, handler: StreamHandler
    ) -> Stream | None: ...

    def is_busy(self, agent_id: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class _GrantedElsewhere:
    """What is left of the grant of the routing kas."""

    agent_id: int


class Gateway:
    """The private API's server; `run` it, and `drain` it before."""

    def __init__(self, settings: PrivateApiSettings, proof: ReplicaJwt, tunnels: LocalTunnels) -> None:
        self.server = HttpServer(settings.listens, self._route)
        self._settings = settings
        self._proof = proof
        self._tunnels = tunnels
        self._connections: dict[ReplicaConnection, float] = {}
        """With when each is to drain."""
        self._watches: dict[TunnelStream, StreamHandler] = {}
        """Those that run, or did so a second ago."""
        self._draining = False

    async def run(self) -> None:
        """Look after connections until cancelled; then close them all."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(1)
                now = loop.time()
                self._watches = {stream: h for stream, h in self._watches.items() if not stream.is_over}
                for connection, retire_at in list(self._connections.items()):
                    self._tick(connection, retire_at, now)
        finally:
            for connection in list(self._connections):
                connection.close("this kas stops")

    def drain(self) -> None:
        """Take no more; what runs goes on, as long as the agents' tunnels do, but for watches, which go on elsewhere."""
        self._draining = True
        for connection in list(self._connections):
            connection.tunnel.go_away(GoAwayCode.DRAINING, "this kas stops")
        watches, self._watches = self._watches, {}
        for stream, handler in watches.items():
            if not stream.is_over:
                handler.reset(ResetCode.CANCELLED, "this kas stops")
                stream.reset(ResetCode.CONNECTION_LOST, "this kas stops")

    # -- a connection's life -------------------------------------------------------------------------------------

    def _route(self, head: RequestHead, client: Client) -> Exchange:
        upgrade = client.take_over()
        if head.target != PATH or not asks_for_websocket(head):
            self._refuse(
                upgrade, "not found", "404 Not Found", "this is the private API of kas, for other kas\n"
            )
        elif self._draining:
            self._refuse(upgrade, "draining", "503 Service Unavailable", "this kas is shutting down\n")
        else:
            self._greet(head, upgrade)
        return NullExchange()

    def _greet(self, head: RequestHead, upgrade: Upgrade) -> None:
        try:
            self._proof.check(*head.values(b"authorization"))
            key, offered = check_handshake(head.headers)
            if SUBPROTOCOL not in offered:
                raise UserError(f"offer {SUBPROTOCOL}")
        except NotAReplicaError:
            self._refuse(upgrade, "unauthenticated", "401 Unauthorized", "JWT validation failed\n")
            return
        except UserError as error:
            self._refuse(upgrade, "malformed handshake", "400 Bad Request", f"{error}\n")
            return
        now = asyncio.get_running_loop().time()
        upgrade.known()
        upgrade.transport.write(upgrade_response(key, SUBPROTOCOL, "kasbah-kas"))
        connection = ReplicaConnection(self, upgrade.transport, accept=self._accept, now=now)
        age_s = self._settings.max_connection_age_s * (1 - _AGE_JITTER * chance())
        self._connections[connection] = now + age_s
        DIALLED_BY_THEM.inc()
        upgrade.set_protocol(connection)
        if upgrade.received:
            connection.data_received(upgrade.received)

    def _refuse(self, upgrade: Upgrade, reason: str, status: str, text: str) -> None:
        _strangers.labels(reason).inc()
        _log.warning("replica refused", reason=reason)
        upgrade.refuse(status, text)

    def _tick(self, connection: ReplicaConnection, retire_at: float, now: float) -> None:
        try:
            connection.tick(now)
            if now > retire_at and connection.tunnel.state is State.OPEN:
                connection.tunnel.go_away(GoAwayCode.DRAINING, "old")
        except Exception:  # noqa: BLE001 - a bug of ours must cost one connection, not the process
            _log.exception("replica tick crashed")
            connection.abort("a bug in kas")

    def leaving(self, connection: ReplicaConnection) -> None:
        """The one that dialled says so by closing."""

    def lost(self, connection: ReplicaConnection) -> None:
        """The socket is gone."""
        if self._connections.pop(connection, None) is not None:
            DIALLED_BY_THEM.dec()

    # -- a request -----------------------------------------------------------------------------------------------

    def _accept(self, opening: bytes, stream: TunnelStream) -> StreamHandler:
        try:
            envelope, head = decode_opening(opening)
            if envelope.agent_id <= 0:
                raise PeerError("the envelope names no agent")
            granted = _GrantedElsewhere(envelope.agent_id)

            def join() -> StreamHandler | None:
                return splice(
                    stream,
                    lambda handler: self._tunnels.open_nowait(granted, opening, stream.stream_class, handler),
                )

            joined = join()
        except PeerError as error:
            stream.reset(ResetCode.PROTOCOL, str(error))
            return _NOBODY
        if joined is None and self._tunnels.is_busy(granted.agent_id):
            return InLine(self._tunnels, granted.agent_id, stream, join, self._settings.busy_wait_s)
        if joined is None:
            stream.reset(ResetCode.REFUSED, "no tunnel of this agent is here")
            return _NOBODY
        stream.send_head(b"")
        if stream.stream_class is StreamClass.WATCH and not envelope.upgrade and _is_watch(head):
            self._watches[stream] = joined
        return joined


def _is_watch(head: bytes) -> bool:
    """Whether whoever sent this keeps it, and can go on when it breaks."""
    method, _, rest = head.partition(b" ")
    try:
        return parse_target(method, rest.partition(b" ")[0]).verb == "watch"
    except (RefusedTargetError, KeyError):
        return False


class _Nobody:
    """Handles a stream that is over."""

    def head_received(self, head: bytes) -> None: ...

    def data_received(self, data: bytes) -> None: ...

    def ended(self) -> None: ...

    def reset(self, code: int, message: str) -> None: ...

    def writable(self) -> None: ...


_NOBODY: Final = _Nobody()
