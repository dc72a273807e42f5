"""The tunnel's life in agentk: dial, be admitted, serve, and dial again when kas drains or the connection breaks.

One connection at a time takes new work; one that kas drains goes on serving what runs on it while the next is
already up. Every pod of an agent keeps its own connection; kas spreads the work. Which tunnel a connection carries is
kas' choice, and no matter here.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import Counter, Gauge

from kasbah.agentk.reverse_tunnel.connection import KasConnection, StreamAcceptor
from kasbah.agentk.reverse_tunnel.dial import dial
from kasbah.agentk.reverse_tunnel.native_connection import NativeConnection
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings, TunnelChoice
from kasbah.agentk.reverse_tunnel.tls import tls_context
from kasbah.errors import PeerError, UserError
from kasbah.kit.backoff import TUNNEL
from kasbah.kit.secrets import Secret
from kasbah.kit.tasks import keep_trying
from kasbah.rpc.client import CallClient
from kasbah.wire.native_tunnel.frames import AgentHello
from kasbah.wire.rpc import RpcError, StatusCode

_log = structlog.get_logger()

_connected = Gauge(
    "kasbah_agentk_tunnel_connected",
    "1 while a connection to kas takes work, by its kind of tunnel.",
    ["transport"],
)
_dials = Counter("kasbah_agentk_tunnel_dials", "Attempts to connect to kas.")

_WAIT_FOR_CONNECTION_S = 20.0
_QUICK_S = 1.0

MakeConnection = Callable[[asyncio.Transport, TunnelChoice], KasConnection]
Dial = Callable[[ReverseTunnelSettings, ssl.SSLContext | None, str, MakeConnection], Awaitable[KasConnection]]
"""Settings, TLS, our name and how to make the protocol: a connection whose handshake is over."""


class ReverseTunnel:
    """This pod's connection to kas, whichever tunnel kas chose for it.

    Attributes:
        rpc: calls to kas over whatever connection is up.
    """

    def __init__(
        self,
        settings: ReverseTunnelSettings,
        token: Secret,
        acceptor: StreamAcceptor,
        *,
        user_agent: str,
        grpc_acceptor: StreamAcceptor | None = None,
        pod_id: int | None = None,
        on_open: Callable[[], None] = lambda: None,
        dial: Dial = dial,
    ) -> None:
        """Args:
        acceptor: takes streams that name their agent.
        grpc_acceptor: takes those that do not: GitLab's messages have no room for it.
        on_open: called each time a connection is up: kas may be another one than before.
        """
        self._settings = settings
        self._token = token
        self._acceptor = acceptor
        self._grpc_acceptor = grpc_acceptor or acceptor
        self._user_agent = user_agent
        self._on_open = on_open
        self._dial = dial
        self._pod_id = pod_id if pod_id is not None else random.SystemRandom().getrandbits(63)
        self._context: ssl.SSLContext | None = tls_context(settings) if settings.address.tls else None
        self._connections: set[KasConnection] = set()
        self._current: KasConnection | None = None
        self._up = asyncio.Event()
        self._draining = False
        self._left_quickly = False
        self.rpc = CallClient(self._wait_for_connection)
        self._known_agent_id: int | None = None

    @property
    def agent_id(self) -> int | None:
        """Who kas says we are; known from the first byte after its greeting on, before anybody could be told.

        None over gRPC: there it is said only in the configuration.
        """
        if self._known_agent_id is None:
            told = [connection.agent_id for connection in self._connections]
            return next((agent_id for agent_id in told if agent_id is not None), None)
        return self._known_agent_id

    @property
    def pod_id(self) -> int:
        """This process' connection id."""
        return self._pod_id

    @property
    def is_ready(self) -> bool:
        """Whether kas gives us work now: the readiness probe's answer."""
        return self._current is not None and self._current.is_ready

    async def run(self) -> None:
        """Keep a connection open until cancelled; then close it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tick(), name="tunnel keep-alive")
                tasks.create_task(keep_trying("reverse_tunnel", self._serve, TUNNEL), name="tunnel")
        finally:
            for connection in list(self._connections):
                connection.close("agentk stops")

    async def drain(self, timeout_s: float) -> None:
        """Ask kas for no new work and wait until what runs is over, or the time is; nothing is dialled again."""
        self._draining = True
        for connection in list(self._connections):
            connection.drain()
        try:
            async with asyncio.timeout(timeout_s):
                for connection in list(self._connections):
                    await connection.state.closed.wait()
        except TimeoutError:
            _log.warning("streams were cut at the end of the drain")

    async def _serve(self) -> None:
        """One connection, until it takes no more work."""
        if self._draining:
            await asyncio.Event().wait()  # until cancelled: this pod wants no new work
        _dials.inc()
        connection = await self._open()
        began = asyncio.get_running_loop().time()
        self._current = connection
        self._up.set()
        _connected.labels(connection.kind).set(1)
        self._on_open()
        try:
            await connection.state.leaving.wait()
        finally:
            self._current = None
            self._up.clear()
            _connected.labels(connection.kind).set(0)
        if not self._draining:
            self._left(connection, asyncio.get_running_loop().time() - began)

    def _left(self, connection: KasConnection, lasted_s: float) -> None:
        """Go on at once when kas drains; but not when it does nothing else."""
        if connection.state.closed.is_set() or connection.failure:
            raise PeerError(f"the connection to kas broke: {connection.failure or 'closed'}", retryable=True)
        again, self._left_quickly = self._left_quickly, lasted_s < _QUICK_S
        if again and self._left_quickly:
            raise PeerError("kas drains one connection after the other", retryable=True)
        _log.info("kas drains, dialling again")

    async def _open(self) -> KasConnection:
        connection: KasConnection | None = None
        try:
            async with asyncio.timeout(self._settings.dial_timeout_s):
                connection = await self._dial(
                    self._settings, self._fresh_context(), self._user_agent, self._make_connection
                )
                await connection.state.admission()
        except TimeoutError as error:
            if connection is not None:
                connection.close("no answer in time")
            raise PeerError("kas did not answer in time", retryable=True) from error
        agent_id = connection.agent_id
        if agent_id is not None and self._known_agent_id not in {None, agent_id}:
            connection.close("another agent")
            raise PeerError(f"kas says we are agent {agent_id}, and before {self._known_agent_id}")
        self._known_agent_id = agent_id if agent_id is not None else self._known_agent_id
        _log.info("connected to kas", tunnel=connection.kind, agent_id=agent_id)
        return connection

    def _fresh_context(self) -> ssl.SSLContext | None:
        """With the certificates as the files hold them now: they are replaced while we run."""
        if self._context is not None:
            try:
                self._context = tls_context(self._settings)
            except UserError as error:
                _log.warning("going on with the certificates from before", error=str(error))
        return self._context

    def _make_connection(self, transport: asyncio.Transport, choice: TunnelChoice) -> KasConnection:
        connection: KasConnection
        if choice is TunnelChoice.NATIVE:
            hello = AgentHello(token=self._token.reveal(), pod_id=self._pod_id)
            connection = NativeConnection(transport, self._acceptor, hello)
        else:
            connection = self._make_grpc_connection(transport)
        self._connections.add(connection)
        return connection

    def _make_grpc_connection(self, transport: asyncio.Transport) -> KasConnection:
        from kasbah.agentk.reverse_tunnel import grpc_connection  # noqa: PLC0415 - HTTP/2 only for who speaks it

        connection = grpc_connection.GrpcKasConnection(
            transport,
            grpc_connection.peer(self._settings, self._token, self._user_agent),
            self._grpc_acceptor,
            lambda: sum(other.tunnels for other in self._connections if other is not connection),
        )
        return connection

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1)
            now = loop.time()
            for connection in list(self._connections):
                if connection.state.closed.is_set():
                    self._connections.discard(connection)
                else:
                    connection.tick(now)

    async def _wait_for_connection(self) -> KasConnection:
        """The connection that takes calls, once there is one.

        Raises:
            RpcError: none came up within 20 seconds.
        """
        try:
            async with asyncio.timeout(_WAIT_FOR_CONNECTION_S):
                while self._current is None:
                    await self._up.wait()
        except TimeoutError as error:
            raise RpcError(StatusCode.UNAVAILABLE, "there is no connection to kas") from error
        return self._current
