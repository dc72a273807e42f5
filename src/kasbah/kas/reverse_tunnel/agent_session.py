"""What one agent token does on one gRPC connection: its calls wait until it was found good, then go where they belong.

A token is looked up once a connection; from then on it is the server's business to check it again. Every call shows
it, and a tunnel belongs to the agent whose token opened it: nobody else is served through it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import Final, Protocol

import structlog

from kasbah.errors import PeerError
from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.reverse_tunnel.call import AgentCall
from kasbah.kas.reverse_tunnel.grpc_tunnels import GrpcTunnels
from kasbah.kas.reverse_tunnel.held_call import HeldBytes, HeldCall
from kasbah.kas.reverse_tunnel.pod import Admitted, PodConnection
from kasbah.kas.reverse_tunnel.refusal import UNAVAILABLE, Refusal, refusal_of
from kasbah.kit.backoff import Backoff, BackoffSettings
from kasbah.kit.jitter import chance
from kasbah.kit.secrets import Secret
from kasbah.rpc.server import CallServer
from kasbah.wire.methods import CONNECT
from kasbah.wire.rpc import NOBODY, Call, CallHandler

_log = structlog.get_logger()

_LOOK_AGAIN: Final = BackoffSettings(initial_s=0.02, maximum_s=0.1, reset_s=10)
"""While the Git side is away: a call that lasts waits inside, so that its agent needs no back-off of its own."""


class SessionOwner(Protocol):
    """The server, as a session sees it."""

    rpc: CallServer[AgentCall]

    @property
    def tasks(self) -> asyncio.TaskGroup: ...

    @property
    def max_tunnels(self) -> int: ...

    async def agent_info(self, token: Secret) -> AgentInfo: ...

    def spawn(self, authenticate: Callable[[], Coroutine[object, object, None]]) -> bool:
        """Run this beside the rest; False: we are being stopped."""

    def admit(self, connection: PodConnection, admitted: Admitted) -> Refusal | None:
        """Let the agent's pod in; or why it may not come in."""

    def refused(self, connection: PodConnection, refusal: Refusal, error: Exception | None = None) -> None:
        """Somebody was not let in."""

    def tunnel_ready(self, agent_id: int) -> None:
        """A tunnel of the agent can be used."""


class AgentSession:
    """One token on one connection."""

    def __init__(
        self, token: Secret, owner: SessionOwner, connection: PodConnection, room: HeldBytes
    ) -> None:
        self._token = token
        self._owner = owner
        self._connection = connection
        self._room = room
        self._waiting: dict[HeldCall, None] = {}
        self._asking = False
        self._retired = False
        self._answer: Callable[[str, Call], CallHandler] | None = None
        self._tunnels: GrpcTunnels | None = None

    @property
    def tunnel_count(self) -> int:
        """Tunnels that are open, or wait for the token to be looked up."""
        if self._tunnels is not None:
            return self._tunnels.count
        return sum(held.path == CONNECT.path for held in self._waiting)

    def call_opened(self, path: str, call: Call) -> CallHandler:
        """The agent makes a call with this token."""
        if self._answer is not None:
            return self._answer(path, call)
        held = HeldCall(path, call, self._waiting, self._room)
        if not self._asking:
            self._asking = self._owner.spawn(self._find_out)
            if not self._asking:
                self._refuse_waiting(UNAVAILABLE, everybody=True)
        return held

    def retire(self) -> None:
        """Idle tunnels end with OK, and so does from now on what would last: the agent goes elsewhere with it."""
        self._retired = True
        if self._tunnels is not None:
            self._tunnels.retire()

    def revoke(self, refusal: Refusal) -> None:
        """The token is no longer good: what runs under it ends now, and nothing more begins."""
        self._answer = lambda _path, call: _refuse(call, refusal)
        if self._tunnels is not None:
            self._tunnels.fail(refusal.status, refusal.reason)
        self._owner.rpc.fail_calls(
            lambda call: call.connection is self._connection and call.agent_token == self._token,
            refusal.status,
            refusal.reason,
        )

    # -- the token -----------------------------------------------------------------------------------------------

    async def _find_out(self) -> None:
        """Whose token it is; a supervision border: a bug of ours must not cost the other agents."""
        backoff, clock = Backoff(_LOOK_AGAIN), asyncio.get_running_loop().time
        try:
            while self._waiting:
                try:
                    self._found(await self._owner.agent_info(self._token))
                except PeerError as error:
                    refusal = refusal_of(error)
                    self._owner.refused(self._connection, refusal, error)
                    self._refuse_waiting(refusal)
                    await asyncio.sleep(backoff.failed(clock(), chance()))
        except Exception:  # noqa: BLE001 - see above
            _log.exception("agent authentication crashed", peer=self._connection.peer)
            self._refuse_waiting(UNAVAILABLE, everybody=True)
        finally:
            self._asking = False

    def _found(self, agent: AgentInfo) -> None:
        if not self._waiting:  # who asked has gone, perhaps with the connection
            return
        tunnels = GrpcTunnels(
            limit=self._owner.max_tunnels, ready=lambda: self._owner.tunnel_ready(agent.agent_id)
        )
        pod_id = secrets.randbits(62) + 1
        admitted = Admitted(token=self._token, agent=agent, pod_id=pod_id, tunnel=tunnels)
        refusal = self._owner.admit(self._connection, admitted)
        if refusal is not None:
            self._refuse_waiting(refusal)
            return
        self._tunnels = tunnels
        context = AgentCall(
            agent=agent, agent_token=self._token, connection_id=pod_id, connection=self._connection
        )

        def answer(path: str, call: Call) -> CallHandler:
            if self._retired and self._lasts(path):
                call.end()
                return NOBODY
            if path == CONNECT.path:
                return tunnels.accept(call)
            return self._owner.rpc.accept(path, call, context, self._owner.tasks)

        self._answer = answer
        for held in list(self._waiting):
            held.answer(answer)

    def _refuse_waiting(self, refusal: Refusal, *, everybody: bool = False) -> None:
        """Those who wait, but for those who go on waiting when nothing is decided: a call that lasts has time."""
        for held in list(self._waiting):
            if everybody or refusal.is_final or not self._lasts(held.path):
                held.refuse(refusal.status, refusal.reason)

    def _lasts(self, path: str) -> bool:
        return path == CONNECT.path or self._owner.rpc.is_long(path)


def _refuse(call: Call, refusal: Refusal) -> CallHandler:
    call.fail(refusal.status, refusal.reason)
    return NOBODY
