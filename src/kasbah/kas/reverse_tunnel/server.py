"""Accepts agents' WebSockets, authenticates them, and looks after them as long as they live.

Nothing is kept for a connection before its token was found good but the connection itself, and that for ten seconds
at most. A token is checked again every few seconds while a pod is connected; when it is revoked the transport is
closed and what runs through it fails at once.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import structlog
from prometheus_client import Counter

from kasbah.errors import Bug, PeerError, UserError
from kasbah.kas.http_server.exchange import Upgrade
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.errors import HubForbiddenError, HubNotFoundError, HubUnauthenticatedError
from kasbah.kas.reverse_tunnel.call import AgentCall
from kasbah.kas.reverse_tunnel.connection import AgentConnection
from kasbah.kas.reverse_tunnel.registry import TunnelRegistry
from kasbah.kas.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.kit.secrets import Secret
from kasbah.rpc.server import CallServer, Service
from kasbah.wire.http1 import Headers, RequestHead
from kasbah.wire.native_tunnel.engine import State
from kasbah.wire.native_tunnel.frames import AgentHello, GoAwayCode
from kasbah.wire.websocket import NATIVE_SUBPROTOCOL, PROTOCOL_ERROR, close_frame, upgrade_response

_log = structlog.get_logger()

_TOKEN_CHECKS_AT_ONCE: Final = 32
"""Questions to the hub: enough for thousands of agents within the interval, few enough not to be a burst."""

_agents_refused = Counter("kasbah_kas_agents_refused", "Agent connections refused, by reason.", ["reason"])
_agents_admitted = Counter("kasbah_kas_agents_admitted", "Agent connections admitted.")


class ReverseTunnelServer:
    """All agent connections of this process."""

    def __init__(
        self,
        hub: HubClient,
        registry: TunnelRegistry,
        services: list[Service[AgentCall]],
        *,
        version: str,
        settings: ReverseTunnelSettings | None = None,
    ) -> None:
        self.rpc = CallServer(services, log_fields=lambda call: {"agent_id": call.agent.agent_id})
        self._hub = hub
        self._registry = registry
        self._version = version
        self._settings = settings or ReverseTunnelSettings()
        self._connections: set[AgentConnection] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._idle = asyncio.Event()
        self._draining = False

    @property
    def tasks(self) -> asyncio.TaskGroup:
        """Where calls and checks run; only while `run` does."""
        if self._tasks is None:
            raise Bug("an agent connected before the tunnel server ran")
        return self._tasks

    async def run(self) -> None:
        """Look after connections until cancelled; then drop them all."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self._watch_time(), name="tunnel keep-alive")
                self._tasks.create_task(self._watch_tokens(), name="agent token check")
        finally:
            self._tasks = None
            for connection in list(self._connections):
                connection.close("Shutting down")

    async def drain(self) -> None:
        """Tell every agent to go elsewhere and let running streams finish, up to the drain timeout."""
        self._draining = True
        for connection in list(self._connections):
            self._unregister(connection)
            connection.tunnel.go_away(GoAwayCode.DRAINING, "Shutting down")
        self.rpc.end_long_calls()
        self._idle.clear()
        if self._connections:
            try:
                async with asyncio.timeout(self._settings.drain_timeout_s):
                    await self._idle.wait()
            except TimeoutError:
                _log.warning("streams were cut at the end of the drain", connections=len(self._connections))

    # -- a connection's life -------------------------------------------------------------------------------------

    def accept(self, head: RequestHead, upgrade: Upgrade) -> None:
        """Take a connection over whose request asked for a WebSocket at the agents' address."""
        if self._draining:
            upgrade.refuse("503 Service Unavailable", "this kas is shutting down\n")
            return
        try:
            key, offered = _check_handshake(head.headers)
        except UserError as error:
            _agents_refused.labels("malformed handshake").inc()
            upgrade.refuse("400 Bad Request", f"{error}\n")
            return
        transport = upgrade.transport
        subprotocol = NATIVE_SUBPROTOCOL if NATIVE_SUBPROTOCOL in offered else None
        transport.write(upgrade_response(key, subprotocol, f"kasbah-kas/{self._version}"))
        if subprotocol is None:
            # As GitLab's kas: accept first, then say what is missing.
            transport.write(close_frame(PROTOCOL_ERROR, f"offer {NATIVE_SUBPROTOCOL}", masked=False))
            transport.close()
            upgrade.known()
            return
        peer = transport.get_extra_info("peername") or ("",)
        connection = AgentConnection(
            self,
            transport,
            peer=str(peer[0]),
            now=asyncio.get_running_loop().time(),
            known=upgrade.known,
        )
        self._connections.add(connection)
        upgrade.set_protocol(connection)
        if upgrade.received:
            connection.data_received(upgrade.received)

    def greeted(self, connection: AgentConnection, hello: AgentHello) -> None:
        """An agent has shown its token; find out whose it is."""
        self.tasks.create_task(self._authenticate(connection, hello), name="agent authentication")

    def draining(self, connection: AgentConnection) -> None:
        """The agent takes no new streams."""
        self._unregister(connection)

    def lost(self, connection: AgentConnection) -> None:
        """The connection is over."""
        self._unregister(connection)
        self._connections.discard(connection)
        if not self._connections:
            self._idle.set()
        if connection.agent is not None:
            _log.info(
                "agent disconnected",
                agent_id=connection.agent.agent_id,
                pod_id=connection.pod_id,
                reason=connection.failure or "closed",
            )

    async def _authenticate(self, connection: AgentConnection, hello: AgentHello) -> None:
        try:
            agent = await self._hub.agent_info(connection.token)
        except PeerError as error:
            code, reason = _refusal(error)
            _agents_refused.labels(reason).inc()
            _log.info("agent refused", peer=connection.peer, reason=reason, error=str(error))
            connection.refuse(code, reason)
            return
        except Exception:  # noqa: BLE001 - the border of a greeting: a bug of ours must not cost the other agents
            _log.exception("agent authentication crashed", peer=connection.peer)
            connection.refuse(GoAwayCode.UNAVAILABLE, "the agent token cannot be checked now")
            return
        if connection.tunnel.state is not State.GREETING:
            return
        self._replace(agent.agent_id, hello.pod_id)
        if self._registry.count(agent.agent_id) >= self._settings.max_pods_per_agent:
            _agents_refused.labels("too many pods").inc()
            connection.refuse(GoAwayCode.TOO_MANY_CONNECTIONS, "too many pods of this agent are connected")
            return
        connection.admit(agent, server_version=self._version)
        self._registry.add(agent.agent_id, connection.tunnel)
        _agents_admitted.inc()
        _log.info("agent connected", agent_id=agent.agent_id, pod_id=hello.pod_id, peer=connection.peer)

    def _replace(self, agent_id: int, pod_id: int) -> None:
        """A pod that dials again has lost its old connection, whatever that one's socket says."""
        for other in list(self._connections):
            same_pod = other.agent is not None and (other.agent.agent_id, other.pod_id) == (agent_id, pod_id)
            if same_pod and other.tunnel.state is State.OPEN:
                self._unregister(other)
                other.close("replaced by a newer connection of this pod")

    def _unregister(self, connection: AgentConnection) -> None:
        if connection.agent is not None:
            self._registry.remove(connection.agent.agent_id, connection.tunnel)

    # -- time ----------------------------------------------------------------------------------------------------

    async def _watch_time(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1)
            now = loop.time()
            for connection in list(self._connections):
                try:
                    self._tick(connection, now)
                except Exception:  # noqa: BLE001 - a bug of ours must cost one connection, not the process
                    _log.exception("tunnel tick crashed", peer=connection.peer)
                    connection.abort("a bug in kas")

    def _tick(self, connection: AgentConnection, now: float) -> None:
        silent_s = now - connection.accepted_at if connection.agent is None else 0
        if silent_s > self._settings.greeting_timeout_s:
            _agents_refused.labels("silent").inc()
            connection.close("no greeting in time")
        else:
            connection.tick(now)

    async def _watch_tokens(self) -> None:
        while True:
            await asyncio.sleep(self._settings.token_check_interval_s)
            await self._check_tokens()

    async def _check_tokens(self) -> None:
        """Ask about each token once, many at a time: a slow answer about one agent must not delay what is due to another."""
        by_token: defaultdict[Secret, list[AgentConnection]] = defaultdict(list)
        for connection in self._connections:
            # One that drains may go on for hours under its watches.
            if connection.agent is not None and connection.tunnel.state is not State.CLOSED:
                by_token[connection.token].append(connection)
        slots = asyncio.Semaphore(_TOKEN_CHECKS_AT_ONCE)
        async with asyncio.TaskGroup() as checks:
            for token, connections in by_token.items():
                checks.create_task(self._check_token(token, connections, slots), name="agent token check")

    async def _check_token(
        self, token: Secret, connections: Sequence[AgentConnection], slots: asyncio.Semaphore
    ) -> None:
        """Close a token's connections if it is no longer good; a hub that is away changes nothing."""
        try:
            async with slots:
                await self._hub.agent_info(token, fresh=True)
        except (HubUnauthenticatedError, HubForbiddenError, HubNotFoundError) as error:
            code, reason = _refusal(error)
            for connection in connections:
                _agents_refused.labels("revoked").inc()
                self._unregister(connection)
                connection.refuse(code, reason)
        except PeerError as error:
            _log.warning("agent token could not be checked", error=str(error))
        except Exception:  # noqa: BLE001 - the same: asked again in a few seconds
            _log.exception("agent token check crashed")


def _refusal(error: PeerError) -> tuple[GoAwayCode, str]:
    if isinstance(error, HubUnauthenticatedError):
        return GoAwayCode.UNAUTHENTICATED, "unauthenticated"
    if isinstance(error, HubForbiddenError):
        return GoAwayCode.FORBIDDEN, "forbidden"
    if isinstance(error, HubNotFoundError):
        return GoAwayCode.UNAUTHENTICATED, "agent not found"
    return GoAwayCode.UNAVAILABLE, "the agent token cannot be checked now"


def _check_handshake(headers: Headers) -> tuple[bytes, list[str]]:
    """The key and the offered subprotocols of an RFC 6455 handshake."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    if b"origin" in values:
        raise UserError("agents send no Origin; a browser page may not open a tunnel")
    if values.get(b"sec-websocket-version") != [b"13"]:
        raise UserError("Sec-WebSocket-Version must be 13")
    keys = values.get(b"sec-websocket-key", [])
    try:
        if len(keys) != 1 or len(base64.b64decode(keys[0], validate=True)) != 16:
            raise UserError("Sec-WebSocket-Key must be 16 bytes in base64")
    except binascii.Error as error:
        raise UserError("Sec-WebSocket-Key must be 16 bytes in base64") from error
    offered = [
        part.strip().decode(errors="replace")
        for value in values.get(b"sec-websocket-protocol", ())
        for part in value.split(b",")
    ]
    return keys[0], offered
