"""Which agents can be reached through this process, and the only way to reach one.

A stream is obtained with a grant and in no other way: the agent that serves a request is the agent in the grant.
Several pods of one agent share the work: the least loaded connection is taken. Who finds no way waits in line; whenever
a tunnel can be used, whoever waits longest is asked first, before anybody else can take it. So nobody is overtaken,
and who has lost interest holds nobody up.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from prometheus_client import Gauge

from kasbah.wire.stream import Stream, StreamClass, StreamHandler, StreamKind

MAX_REMEMBERED: Final = 10_000
"""Agents of which is known when they left."""
_tunnels_ready = Gauge("kasbah_kas_tunnels_ready", "Agent connections that take streams.")


class AgentTunnel(Protocol):
    """One pod of an agent, as a way to its API server; a `NativeTunnel` is one."""

    @property
    def can_open(self) -> bool:
        """Whether a stream may be opened just now."""

    @property
    def stream_count(self) -> int:
        """Streams that are not over."""

    def open_stream(
        self, kind: StreamKind, opening: bytes, handler: StreamHandler, *, stream_class: StreamClass
    ) -> Stream:
        """Open a stream; only when `can_open`.

        Raises:
            PeerError: the opening cannot travel.
        """


class Granted(Protocol):
    """What the registry must know of a grant."""

    @property
    def agent_id(self) -> int: ...


class Waiter(Protocol):
    """Waits for a tunnel of an agent."""

    def tunnel_ready(self) -> None:
        """One can be used now, and by nobody else before: open a stream, or leave it to the next in line."""


class Presence(Protocol):
    """Wants to know which agents are connected here."""

    def agent_came(self, agent_id: int) -> None:
        """Its first tunnel is here."""

    def agent_went(self, agent_id: int) -> None:
        """Its last tunnel takes no more streams."""


class TunnelRegistry:
    """The connected agents of this process."""

    def __init__(self, presence: Presence | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`presence` hears of the first tunnel of an agent, and that the last is gone."""
        self._presence = presence
        self._clock = clock
        self._started_at = clock()
        self._left_at: OrderedDict[int, float] = OrderedDict()
        self._tunnels: dict[int, list[AgentTunnel]] = {}
        self._waiters: dict[int, OrderedDict[Waiter, None]] = {}

    def add(self, agent_id: int, tunnel: AgentTunnel) -> None:
        """The tunnel takes streams from now on, whenever it can."""
        tunnels = self._tunnels.setdefault(agent_id, [])
        tunnels.append(tunnel)
        _tunnels_ready.inc()
        if self._presence is not None and len(tunnels) == 1:
            self._presence.agent_came(agent_id)
        self.ready(agent_id)

    def remove(self, agent_id: int, tunnel: AgentTunnel) -> None:
        """The tunnel takes no more streams; those it has run on."""
        tunnels = self._tunnels.get(agent_id, [])
        if tunnel in tunnels:
            tunnels.remove(tunnel)
            _tunnels_ready.dec()
            if not tunnels:
                del self._tunnels[agent_id]
                self._remember_leaving(agent_id)
                if self._presence is not None:
                    self._presence.agent_went(agent_id)

    def count(self, agent_id: int) -> int:
        """How many pods of this agent are connected here."""
        return len(self._tunnels.get(agent_id, ()))

    def away_s(self, agent_id: int) -> float:
        """Since when no pod of this agent is connected here; of others than the last to leave, since this process began."""
        if agent_id in self._tunnels:
            return 0.0
        return self._clock() - self._left_at.get(agent_id, self._started_at)

    def is_busy(self, agent_id: int) -> bool:
        """Whether the agent is connected and everything it can carry is in use."""
        tunnels = self._tunnels.get(agent_id, ())
        return any(tunnel.stream_count for tunnel in tunnels) and not self._can_open(agent_id)

    def open_nowait(
        self, grant: Granted, opening: bytes, stream_class: StreamClass, handler: StreamHandler
    ) -> Stream | None:
        """Open a Kubernetes API stream to the granted agent, or None when no tunnel of it is ready.

        Raises:
            PeerError: the opening is too large to travel.
        """
        tunnels = self._tunnels.get(grant.agent_id)
        if not tunnels:
            return None
        tunnel = tunnels[0] if len(tunnels) == 1 else min(tunnels, key=_load)
        if not tunnel.can_open:
            return None
        return tunnel.open_stream(StreamKind.KUBERNETES_API, opening, handler, stream_class=stream_class)

    def _remember_leaving(self, agent_id: int) -> None:
        self._left_at[agent_id] = self._clock()
        self._left_at.move_to_end(agent_id)
        if len(self._left_at) > MAX_REMEMBERED:
            self._left_at.popitem(last=False)

    # -- the line ------------------------------------------------------------------------------------------------

    def wait(self, agent_id: int, waiter: Waiter) -> None:
        """Stand in line for a tunnel of the agent; asked once, or never."""
        self._waiters.setdefault(agent_id, OrderedDict())[waiter] = None

    def stop_waiting(self, agent_id: int, waiter: Waiter) -> None:
        """Leave the line; harmless for who is not in it."""
        waiters = self._waiters.get(agent_id)
        if waiters is not None:
            waiters.pop(waiter, None)
            self._forget_if_empty(agent_id)

    def ready(self, agent_id: int) -> None:
        """A tunnel of the agent can be used: ask those in line, as long as that is so."""
        waiters = self._waiters.get(agent_id)
        while waiters and self._can_open(agent_id):
            waiter, _ = waiters.popitem(last=False)
            waiter.tunnel_ready()
        self._forget_if_empty(agent_id)

    def _can_open(self, agent_id: int) -> bool:
        return any(tunnel.can_open for tunnel in self._tunnels.get(agent_id, ()))

    def _forget_if_empty(self, agent_id: int) -> None:
        if not self._waiters.get(agent_id, True):
            del self._waiters[agent_id]


def _load(tunnel: AgentTunnel) -> tuple[bool, int]:
    return (not tunnel.can_open, tunnel.stream_count)
