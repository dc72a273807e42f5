"""The tunnel's life in agentk: dial, greet, serve, and dial again when kas drains or the connection breaks.

One connection at a time takes new streams; one that kas drains goes on serving what runs on it while the next is
already up. Every pod of an agent keeps its own connection; kas spreads the work.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import Counter, Gauge

from kasbah.agentk.reverse_tunnel.connection import KasConnection, StreamAcceptor
from kasbah.agentk.reverse_tunnel.dial import dial, tls_context
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.errors import PeerError
from kasbah.kit.backoff import TUNNEL
from kasbah.kit.secrets import Secret
from kasbah.kit.tasks import keep_trying
from kasbah.rpc.client import CallClient
from kasbah.wire.native_tunnel.frames import AgentHello, GoAwayCode
from kasbah.wire.rpc import RpcError, StatusCode

_log = structlog.get_logger()

_connected = Gauge("kasbah_agentk_tunnel_connected", "1 while a tunnel to kas takes streams.")
_dials = Counter("kasbah_agentk_tunnel_dials", "Attempts to connect to kas.")

_WAIT_FOR_TUNNEL_S = 20.0

Dial = Callable[
    [ReverseTunnelSettings, ssl.SSLContext | None, str, Callable[[asyncio.Transport], KasConnection]],
    Awaitable[KasConnection],
]
"""Settings, TLS, our name and how to make the protocol: a connection whose handshake is over."""


class ReverseTunnel:
    """This pod's tunnel to kas.

    Attributes:
        rpc: calls to kas over whatever tunnel is up.
    """

    def __init__(
        self,
        settings: ReverseTunnelSettings,
        token: Secret,
        acceptor: StreamAcceptor,
        *,
        user_agent: str,
        pod_id: int | None = None,
        on_open: Callable[[], None] = lambda: None,
        dial: Dial = dial,
    ) -> None:
        """`on_open` is called each time a tunnel is up: kas may be another one than before."""
        self._settings = settings
        self._token = token
        self._acceptor = acceptor
        self._user_agent = user_agent
        self._on_open = on_open
        self._dial = dial
        self._pod_id = pod_id if pod_id is not None else random.SystemRandom().getrandbits(63)
        self._context: ssl.SSLContext | None = tls_context(settings) if settings.address.tls else None
        self._connections: set[KasConnection] = set()
        self._current: KasConnection | None = None
        self._up = asyncio.Event()
        self._draining = False
        self.rpc = CallClient(self._wait_for_connection)
        self._known_agent_id: int | None = None

    @property
    def agent_id(self) -> int | None:
        """Who kas says we are; known from the first byte after its greeting on, before anybody could be told."""
        if self._known_agent_id is None:
            hellos = [connection.hello for connection in self._connections if connection.hello is not None]
            return hellos[0].agent_id if hellos else None
        return self._known_agent_id

    @property
    def pod_id(self) -> int:
        """This process' connection id."""
        return self._pod_id

    @property
    def is_ready(self) -> bool:
        """Whether a tunnel takes streams now: the readiness probe's answer."""
        return self._current is not None

    async def run(self) -> None:
        """Keep a tunnel open until cancelled; then close it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tick(), name="tunnel keep-alive")
                tasks.create_task(keep_trying("reverse_tunnel", self._serve, TUNNEL), name="tunnel")
        finally:
            for connection in list(self._connections):
                connection.close("agentk stops")

    async def drain(self, timeout_s: float) -> None:
        """Ask kas for no new streams and wait until those that run are over, or the time is; nothing is dialled again."""
        self._draining = True
        for connection in list(self._connections):
            connection.tunnel.go_away(GoAwayCode.DRAINING, "agentk stops")
        try:
            async with asyncio.timeout(timeout_s):
                for connection in list(self._connections):
                    await connection.closed.wait()
        except TimeoutError:
            _log.warning("streams were cut at the end of the drain")

    async def _serve(self) -> None:
        """One connection, until it takes no more streams."""
        if self._draining:
            await asyncio.Event().wait()  # until cancelled: this pod wants no new work
        _dials.inc()
        connection = await self._open()
        self._current = connection
        self._up.set()
        _connected.set(1)
        self._on_open()
        try:
            await connection.leaving.wait()
        finally:
            self._current = None
            self._up.clear()
            _connected.set(0)
        if self._draining:
            return
        if connection.closed.is_set() or connection.failure:
            raise PeerError(f"the tunnel to kas broke: {connection.failure or 'closed'}", retryable=True)
        _log.info("kas drains, dialling again")

    async def _open(self) -> KasConnection:
        try:
            async with asyncio.timeout(self._settings.dial_timeout_s):
                connection = await self._dial(
                    self._settings, self._context, self._user_agent, self._make_protocol
                )
                connection.tunnel.greet(AgentHello(token=self._token.reveal(), pod_id=self._pod_id))
                hello = await connection.admitted
        except TimeoutError as error:
            raise PeerError("kas did not answer in time", retryable=True) from error
        if self._known_agent_id not in {None, hello.agent_id}:
            connection.close("another agent")
            raise PeerError(f"kas says we are agent {hello.agent_id}, and before {self._known_agent_id}")
        self._known_agent_id = hello.agent_id
        _log.info("tunnel open", agent_id=hello.agent_id, server_version=hello.server_version)
        return connection

    def _make_protocol(self, transport: asyncio.Transport) -> KasConnection:
        connection = KasConnection(transport, self._acceptor)
        self._connections.add(connection)
        return connection

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1)
            now = loop.time()
            for connection in list(self._connections):
                if connection.closed.is_set():
                    self._connections.discard(connection)
                else:
                    connection.tick(now)

    async def _wait_for_connection(self) -> KasConnection:
        """The connection that takes calls, once there is one.

        Raises:
            RpcError: none came up within 20 seconds.
        """
        try:
            async with asyncio.timeout(_WAIT_FOR_TUNNEL_S):
                while self._current is None:
                    await self._up.wait()
        except TimeoutError as error:
            raise RpcError(StatusCode.UNAVAILABLE, "there is no tunnel to kas") from error
        return self._current
