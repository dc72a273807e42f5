"""One pod's native connection, kas' side: the socket's protocol and what happens on a greeting and a call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.reverse_tunnel.call import AgentCall
from kasbah.kas.reverse_tunnel.pod import Admitted, PodConnection
from kasbah.kas.reverse_tunnel.refusal import Refusal
from kasbah.kas.reverse_tunnel.unmask import unmask
from kasbah.kit import socket_queues
from kasbah.kit.secrets import Secret
from kasbah.rpc.server import CallServer
from kasbah.wire.native_tunnel.calls import answer_call
from kasbah.wire.native_tunnel.connection import TunnelConnection
from kasbah.wire.native_tunnel.engine import Role
from kasbah.wire.native_tunnel.frames import AgentHello, GoAwayCode, KasHello
from kasbah.wire.native_tunnel.tunnel_stream import TunnelProtocolError, TunnelStream
from kasbah.wire.stream import StreamHandler, StreamKind


class ConnectionOwner(Protocol):
    """The server, as a connection sees it."""

    rpc: CallServer[AgentCall]
    version: str

    @property
    def tasks(self) -> asyncio.TaskGroup: ...

    def greeted(self, connection: AgentConnection) -> None: ...

    def draining(self, connection: PodConnection) -> None: ...

    def lost(self, connection: PodConnection) -> None: ...


class AgentConnection(TunnelConnection, asyncio.Protocol):
    """From the handshake to the end of one pod's connection; a `PodConnection`.

    Attributes:
        agent: who this is, once the token was found good.
        token: the agent token the pod greeted with; checked again and again while the connection lasts.
        pod_id: the pod's own random number; a second connection with it replaces the first.
        peer: the socket's address, for logs.
        since: when its time to greet began, by the loop's clock.
    """

    transport_name = "native"

    def __init__(
        self,
        owner: ConnectionOwner,
        transport: asyncio.Transport,
        *,
        peer: str,
        since: float,
        known: Callable[[], None] = lambda: None,
    ) -> None:
        """`known` is called when the pod is admitted or gone: until then it counts as a stranger."""
        super().__init__(Role.KAS, transport, asyncio.get_running_loop().call_soon, unmask=unmask)
        self._owner = owner
        self._known = known
        socket_queues.keep_short(transport)
        self.peer = peer
        self.since = since
        self.agent: AgentInfo | None = None
        self.token = Secret("")
        self._greeted = False
        self.pod_id = 0

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._known()
        self._owner.lost(self)

    def hello_received(self, hello: AgentHello) -> None:
        if self._greeted:
            raise TunnelProtocolError("a second greeting")
        self._greeted = True
        self.token = Secret(hello.token)
        self.pod_id = hello.pod_id
        self._owner.greeted(self)

    def welcome(self, admitted: Admitted) -> None:
        """The token is good: streams flow from now on."""
        self.agent = admitted.agent
        self._known()
        self.tunnel.accept(
            KasHello(agent_id=admitted.agent.agent_id, server_version=self._owner.version, answers=True)
        )

    def refuse(self, refusal: Refusal) -> None:
        """Tell the agent why and close; running streams are cut."""
        self.tunnel.go_away(refusal.go_away, refusal.reason)
        self.close(refusal.reason)

    def revoke(self, _token: Secret, refusal: Refusal) -> None:
        self.refuse(refusal)

    def retire(self, reason: str) -> None:
        self.tunnel.go_away(GoAwayCode.DRAINING, reason)

    def stream_opened(self, kind: StreamKind, opening: bytes, stream: TunnelStream) -> StreamHandler:
        if kind is not StreamKind.RPC or self.agent is None:
            raise TunnelProtocolError("an agent opens only calls")
        context = AgentCall(
            agent=self.agent, agent_token=self.token, connection_id=self.pod_id, connection=self
        )
        server, path = self._owner.rpc, opening.decode(errors="replace")
        return answer_call(
            stream,
            lambda call: server.accept(path, call, context, self._owner.tasks),
            server.max_request_bytes(path),
        )

    def go_away_received(self, code: GoAwayCode, message: str) -> None:  # noqa: ARG002 - agents only drain
        self._owner.draining(self)
