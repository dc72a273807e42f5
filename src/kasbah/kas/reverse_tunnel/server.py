"""Accepts agents' connections, authenticates them, and looks after them as long as they live.

Nothing is kept for a connection before its token was found good but the connection itself, and that for ten seconds
at most. A token is checked again every few seconds while a pod is connected; when it is revoked the transport is
closed and what runs through it fails at once. A connection that is old enough takes nothing new, ends well what only
waits, and is cut when its grace is over; a drain does the same to all of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Final

import structlog
from prometheus_client import Counter, Gauge

from kasbah.errors import Bug, PeerError, UserError
from kasbah.kas.http_server.exchange import Upgrade
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.reverse_tunnel.call import AgentCall
from kasbah.kas.reverse_tunnel.grpc_connection import GrpcAgentConnection
from kasbah.kas.reverse_tunnel.handshake import check_handshake
from kasbah.kas.reverse_tunnel.native_connection import AgentConnection
from kasbah.kas.reverse_tunnel.pod import Admitted, PodConnection
from kasbah.kas.reverse_tunnel.refusal import TOO_MANY_PODS, UNAVAILABLE, Refusal, refusal_of
from kasbah.kas.reverse_tunnel.registry import TunnelRegistry
from kasbah.kas.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.kas.reverse_tunnel.token_watch import TokenWatch
from kasbah.kit.jitter import chance
from kasbah.kit.secrets import Secret
from kasbah.rpc.server import CallServer, Service
from kasbah.wire.http1 import RequestHead
from kasbah.wire.native_tunnel.engine import State
from kasbah.wire.websocket import (
    GRPC_SUBPROTOCOL,
    NATIVE_SUBPROTOCOL,
    PROTOCOL_ERROR,
    close_frame,
    upgrade_response,
)

_log = structlog.get_logger()

_AGE_JITTER: Final = 0.1
_WITH_LEAVING: Final = 2
"""So many times an agent's pods may be connected, with those that take nothing new: they may stay as long as they like."""
_SUBPROTOCOLS: Final = (NATIVE_SUBPROTOCOL, GRPC_SUBPROTOCOL)
"""In the order in which we would rather have them."""

_agents_refused = Counter("kasbah_kas_agents_refused", "Agent connections refused, by reason.", ["reason"])
_agents_admitted = Counter("kasbah_kas_agents_admitted", "Agent connections admitted.")
_agents_connected = Gauge(
    "kasbah_kas_agents_connected", "Agent pods connected, by what they speak.", ["transport"]
)


@dataclass(slots=True, kw_only=True)
class _Watched:
    """What is known of a connection that lives."""

    retire_at: float
    """By the loop's clock: it takes nothing new from then on."""
    admitted: list[Admitted] = field(default_factory=list)
    retired: bool = False
    closed: bool = False


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
        self.version = version
        self._hub = hub
        self._registry = registry
        self._settings = settings or ReverseTunnelSettings()
        self._connections: dict[PodConnection, _Watched] = {}
        self._pods = Tally[int]()
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
        tokens = TokenWatch(
            self._hub, self._settings.token_check_interval_s, tokens=self._tokens, revoked=self._revoked
        )
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self._watch_time(), name="tunnel keep-alive")
                self._tasks.create_task(tokens.run(), name="agent token watch")
        finally:
            self._tasks = None
            for connection in list(self._connections):
                connection.close("Shutting down")

    async def drain(self) -> None:
        """Tell every agent to go elsewhere and let running streams finish, up to the drain timeout."""
        self._draining = True
        for connection, watched in list(self._connections.items()):
            self._retire(connection, watched, "Shutting down")
        self.rpc.end_long_calls()
        self._idle.clear()
        if self._connections:
            try:
                async with asyncio.timeout(self._settings.drain_timeout_s):
                    await self._idle.wait()
            except TimeoutError:
                _log.warning("streams were cut at the end of the drain", connections=len(self._connections))

    # -- a connection's beginning --------------------------------------------------------------------------------

    def accept(self, head: RequestHead, upgrade: Upgrade) -> None:
        """Take a connection over whose request asked for a WebSocket at the agents' address."""
        if self._draining:
            upgrade.refuse("503 Service Unavailable", "this kas is shutting down\n")
            return
        try:
            key, offered = check_handshake(head.headers)
        except UserError as error:
            _agents_refused.labels("malformed handshake").inc()
            upgrade.refuse("400 Bad Request", f"{error}\n")
            return
        transport = upgrade.transport
        subprotocol = next((known for known in _SUBPROTOCOLS if known in offered), None)
        transport.write(upgrade_response(key, subprotocol, f"kasbah-kas/{self.version}"))
        if subprotocol is None:
            # As GitLab's kas: accept first, then say what is missing.
            _agents_refused.labels("no known subprotocol").inc()
            offers = " or ".join(_SUBPROTOCOLS)
            transport.write(close_frame(PROTOCOL_ERROR, f"offer {offers}", masked=False))
            transport.close()
            upgrade.known()
        elif subprotocol == NATIVE_SUBPROTOCOL:
            peer, since = _peer(transport), upgrade.since
            self._begin(
                AgentConnection(self, transport, peer=peer, since=since, known=upgrade.known), upgrade
            )
        else:
            self._begin_grpc(upgrade, websocket=True)

    def accept_http2(self, upgrade: Upgrade) -> None:
        """Take a connection over that began with HTTP/2's preface: it speaks gRPC."""
        if self._draining:
            upgrade.transport.close()
            upgrade.known()
        else:
            self._begin_grpc(upgrade, websocket=False)

    def _begin_grpc(self, upgrade: Upgrade, *, websocket: bool) -> None:
        connection = GrpcAgentConnection(
            self,
            upgrade.transport,
            websocket=websocket,
            peer=_peer(upgrade.transport),
            since=upgrade.since,
            known=upgrade.known,
        )
        self._begin(connection, upgrade)

    def _begin(self, connection: AgentConnection | GrpcAgentConnection, upgrade: Upgrade) -> None:
        age_s = self._settings.max_connection_age_s * (1 - _AGE_JITTER * chance())
        self._connections[connection] = _Watched(retire_at=connection.since + age_s)
        upgrade.set_protocol(connection)
        connection.flush()
        if upgrade.received:
            connection.data_received(upgrade.received)

    # -- what connections tell -----------------------------------------------------------------------------------

    def greeted(self, connection: AgentConnection) -> None:
        """A native pod has shown its token; find out whose it is."""
        if not self.spawn(lambda: self._authenticate(connection)):
            connection.refuse(UNAVAILABLE)

    def spawn(self, authenticate: Callable[[], Coroutine[object, object, None]]) -> bool:
        """Run this beside the rest; False: we are being stopped."""
        tasks, work = self.tasks, authenticate()
        try:
            tasks.create_task(work, name="agent authentication")
        except RuntimeError:  # the group takes no new tasks
            work.close()
            return False
        return True

    async def agent_info(self, token: Secret) -> AgentInfo:
        """Whose token it is.

        Raises:
            PeerError: nobody's, or it cannot be found out now.
        """
        return await self._hub.agent_info(token)

    @property
    def max_tunnels(self) -> int:
        """How many one pod may hold open over gRPC."""
        return self._settings.max_tunnels_per_pod

    def tunnel_ready(self, agent_id: int) -> None:
        """A tunnel of the agent can be used."""
        self._registry.ready(agent_id)

    def admit(self, connection: PodConnection, admitted: Admitted) -> Refusal | None:
        """Let an agent's pod in, unless there are too many of them already: then why not."""
        agent, watched = admitted.agent, self._connections[connection]
        most, pods = self._settings.max_pods_per_agent, self._pods[agent.agent_id]
        if pods >= _WITH_LEAVING * most or self._registry.count(agent.agent_id) >= most:
            self.refused(connection, TOO_MANY_PODS)
            return TOO_MANY_PODS
        watched.admitted.append(admitted)
        self._pods[agent.agent_id] += 1
        connection.welcome(admitted)
        if not watched.retired:
            self._registry.add(agent.agent_id, admitted.tunnel)
        _agents_admitted.inc()
        _agents_connected.labels(_transport_kind(connection)).inc()
        _log.info(
            "agent connected",
            agent_id=agent.agent_id,
            pod_id=admitted.pod_id,
            peer=connection.peer,
            transport=connection.transport_name,
        )
        return None

    def refused(self, connection: PodConnection, refusal: Refusal, error: Exception | None = None) -> None:
        """Somebody was not let in."""
        _agents_refused.labels(refusal.reason).inc()
        _log.info(
            "agent refused",
            peer=connection.peer,
            transport=connection.transport_name,
            reason=refusal.reason,
            error=str(error or ""),
        )

    def draining(self, connection: PodConnection) -> None:
        """The agent takes no new streams."""
        self._unregister(self._connections[connection])

    def lost(self, connection: PodConnection) -> None:
        """The connection is over."""
        watched = self._connections.pop(connection, None)
        if watched is None:
            return
        self._unregister(watched)
        if not self._connections:
            self._idle.set()
        for admitted in watched.admitted:
            self._pods[admitted.agent.agent_id] -= 1
            if not self._pods[admitted.agent.agent_id]:
                del self._pods[admitted.agent.agent_id]
            _agents_connected.labels(_transport_kind(connection)).dec()
            _log.info(
                "agent disconnected",
                agent_id=admitted.agent.agent_id,
                pod_id=admitted.pod_id,
                transport=connection.transport_name,
                reason=connection.failure or "closed",
            )

    async def _authenticate(self, connection: AgentConnection) -> None:
        try:
            agent = await self.agent_info(connection.token)
        except PeerError as error:
            refusal = refusal_of(error)
            self.refused(connection, refusal, error)
            connection.refuse(refusal)
        except Exception:  # noqa: BLE001 - the border of a greeting: a bug of ours must not cost the other agents
            _log.exception("agent authentication crashed", peer=connection.peer)
            connection.refuse(UNAVAILABLE)
        else:
            self._authenticated(connection, agent)

    def _authenticated(self, connection: AgentConnection, agent: AgentInfo) -> None:
        if connection.tunnel.state is not State.GREETING:
            return
        self._replace(agent.agent_id, connection.pod_id)
        admitted = Admitted(
            token=connection.token, agent=agent, pod_id=connection.pod_id, tunnel=connection.tunnel
        )
        refusal = self.admit(connection, admitted)
        if refusal is not None:
            connection.refuse(refusal)

    def _replace(self, agent_id: int, pod_id: int) -> None:
        """A pod that dials again has lost its old connection, whatever that one's socket says."""
        for other, watched in list(self._connections.items()):
            same_pod = any(
                (admitted.agent.agent_id, admitted.pod_id) == (agent_id, pod_id)
                for admitted in watched.admitted
            )
            if same_pod and not watched.retired:
                self._unregister(watched)
                other.close("replaced by a newer connection of this pod")

    def _unregister(self, watched: _Watched) -> None:
        """It takes nothing new from now on."""
        watched.retired = True
        for admitted in watched.admitted:
            self._registry.remove(admitted.agent.agent_id, admitted.tunnel)

    # -- time ----------------------------------------------------------------------------------------------------

    async def _watch_time(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1)
            now = loop.time()
            for connection, watched in list(self._connections.items()):
                try:
                    self._tick(connection, watched, now)
                except Exception:  # noqa: BLE001 - a bug of ours must cost one connection, not the process
                    _log.exception("tunnel tick crashed", peer=connection.peer)
                    connection.abort("a bug in kas")

    def _tick(self, connection: PodConnection, watched: _Watched, now: float) -> None:
        settings = self._settings
        if not watched.closed:
            if not watched.admitted and now - connection.since > settings.greeting_timeout_s:
                _agents_refused.labels("silent").inc()
                self._close(connection, watched, "no greeting in time")
            elif now > watched.retire_at + settings.connection_age_grace_s:
                self._close(connection, watched, "the connection is too old")
            elif now > watched.retire_at and not watched.retired:
                self._retire(connection, watched, "max_age")
                self.rpc.end_long_calls(lambda call: call.connection is connection)
        connection.tick(now)

    def _retire(self, connection: PodConnection, watched: _Watched, reason: str) -> None:
        self._unregister(watched)
        connection.retire(reason)

    def _close(self, connection: PodConnection, watched: _Watched, reason: str) -> None:
        watched.closed = True
        connection.close(reason)

    # -- tokens --------------------------------------------------------------------------------------------------

    def _tokens(self) -> set[Secret]:
        """Those of every connection: one that retires may go on for hours under its watches."""
        return {admitted.token for watched in self._connections.values() for admitted in watched.admitted}

    def _revoked(self, token: Secret, refusal: Refusal) -> None:
        for connection, watched in list(self._connections.items()):
            if not watched.closed and any(admitted.token == token for admitted in watched.admitted):
                _agents_refused.labels("revoked").inc()
                watched.closed = True
                self._unregister(watched)
                connection.revoke(token, refusal)


def _peer(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername") or ("",)
    return str(peer[0])


def _transport_kind(connection: PodConnection) -> str:
    """What it speaks: gRPC is gRPC, whatever is around it."""
    return "native" if connection.transport_name == "native" else "grpc"
