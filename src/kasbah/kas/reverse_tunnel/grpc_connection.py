"""One connection of an agent that speaks gRPC, plain or inside a WebSocket: the socket's protocol on kas' side.

It sorts calls by the token they show; what each token may do is its session's. Until a token was found good little is
kept of what is said.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Final, Protocol

from kasbah.kas.reverse_tunnel.agent_session import AgentSession, SessionOwner
from kasbah.kas.reverse_tunnel.held_call import HeldBytes
from kasbah.kas.reverse_tunnel.pod import Admitted, PodConnection
from kasbah.kas.reverse_tunnel.refusal import UNAUTHENTICATED, Refusal
from kasbah.kas.reverse_tunnel.unmask import unmask
from kasbah.kit.secrets import Secret
from kasbah.wire.grpc.connection import GrpcConnection
from kasbah.wire.grpc.engine import GrpcRole
from kasbah.wire.grpc.limits import GrpcLimits
from kasbah.wire.methods import CONNECT
from kasbah.wire.native_tunnel.engine import AGENT_CALLS, AGENT_OPENS_PER_MINUTE
from kasbah.wire.rpc import NOBODY, Call, CallHandler, Metadata, StatusCode

MAX_TOKENS: Final = 4
"""Tokens shown on one connection; an agent has one, and two while it is being replaced."""
HELD_BYTES: Final = 256 * 1024
"""Of what a connection says before its token was found good."""
_LIMITS: Final = GrpcLimits()
STRANGERS_REFUSALS: Final = 100
"""Calls of a stranger that may be cut or refused in ten seconds."""
_STRANGERS_LIMITS: Final = dataclasses.replace(
    _LIMITS, max_buffered_bytes=HELD_BYTES, max_message_bytes=HELD_BYTES, max_resets=STRANGERS_REFUSALS
)


class GrpcConnectionOwner(SessionOwner, Protocol):
    """The server, as a connection sees it."""

    def draining(self, connection: PodConnection) -> None:
        """The agent is about to leave."""

    def lost(self, connection: PodConnection) -> None:
        """It is over."""


class GrpcAgentConnection(GrpcConnection, asyncio.Protocol):
    """From the preface to the end of one connection; a `PodConnection`.

    Attributes:
        peer: the socket's address, for logs.
        since: when its time to show a token began, by the loop's clock.
        transport_name: `grpc` or `ws-tunnel`.
    """

    def __init__(
        self,
        owner: GrpcConnectionOwner,
        transport: asyncio.Transport,
        *,
        websocket: bool,
        peer: str,
        since: float,
        known: Callable[[], None] = lambda: None,
    ) -> None:
        """`known` is called when a token was found good or the connection is over: until then it is a stranger's."""
        super().__init__(
            GrpcRole.SERVER,
            transport,
            asyncio.get_running_loop().call_soon,
            websocket=websocket,
            unmask=unmask if websocket else None,
            limits=_STRANGERS_LIMITS,
        )
        self._owner = owner
        self._known = known
        self.peer = peer
        self.since = since
        self.transport_name = "ws-tunnel" if websocket else "grpc"
        self._sessions: dict[Secret, AgentSession] = {}
        self._room = HeldBytes(HELD_BYTES)
        self._retired = False
        self._minute_began = since
        self._calls_this_minute = 0

    def call_opened(self, path: str, metadata: Metadata, call: Call) -> CallHandler:
        token = bearer_token(metadata)
        if token is None:
            self._owner.refused(self, UNAUTHENTICATED)
            call.fail(StatusCode.UNAUTHENTICATED, UNAUTHENTICATED.reason)
            return NOBODY
        if path != CONNECT.path and self._too_many_calls():
            call.fail(StatusCode.RESOURCE_EXHAUSTED, "too many calls of this agent; try again later")
            return NOBODY
        session = self._sessions.get(token)
        if session is None:
            if len(self._sessions) >= MAX_TOKENS:
                call.fail(StatusCode.RESOURCE_EXHAUSTED, f"over {MAX_TOKENS} tokens on one connection")
                return NOBODY
            session = self._sessions[token] = AgentSession(token, self._owner, self, self._room)
            if self._retired:
                session.retire()
        return session.call_opened(path, call)

    def _too_many_calls(self) -> bool:
        """Tunnels apart: an agent needs a handful, and each costs a task."""
        self._calls_this_minute += 1
        tunnels = sum(session.tunnel_count for session in self._sessions.values())
        return (
            self._calls_this_minute > AGENT_OPENS_PER_MINUTE or self.engine.call_count - tunnels > AGENT_CALLS
        )

    def tick(self, now: float) -> None:
        if now - self._minute_began > 60:
            self._minute_began = now
            self._calls_this_minute = 0
        super().tick(now)

    def welcome(self, _admitted: Admitted) -> None:
        self.engine.limits = _LIMITS
        self._known()

    def going_away(self) -> None:
        self._owner.draining(self)
        self._retire_sessions()

    def ending(self) -> None:
        # Before the first call is lost: what it carried may be tried again, and must not find the next tunnel here.
        self._owner.draining(self)

    def retire(self, reason: str) -> None:
        self.engine.go_away(reason)
        self._retire_sessions()

    def _retire_sessions(self) -> None:
        """Idle tunnels are ours to end: only we know which of them are not being handed out just now."""
        self._retired = True
        for session in self._sessions.values():
            session.retire()

    def revoke(self, token: Secret, refusal: Refusal) -> None:
        self._sessions[token].revoke(refusal)
        self.close(refusal.reason)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._known()
        self._owner.lost(self)


def bearer_token(metadata: Metadata) -> Secret | None:
    """The token of a call: in exactly one `authorization`, of the scheme Bearer."""
    values = [value for key, value in metadata if key == "authorization"]
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(" ")
    return Secret(token) if scheme.lower() == "bearer" and token else None
