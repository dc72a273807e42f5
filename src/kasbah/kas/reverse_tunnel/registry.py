"""Which agents can be reached through this process, and the only way to reach one.

A stream is obtained with a grant and in no other way: the agent that serves a request is the agent in the grant.
Several pods of one agent share the work: the least loaded connection is taken.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Protocol

from prometheus_client import Gauge

from kasbah.wire.native_tunnel.engine import NativeTunnel
from kasbah.wire.native_tunnel.stream import Stream, StreamClass, StreamHandler, StreamKind

_tunnels_ready = Gauge("kasbah_kas_tunnels_ready", "Agent connections that take streams.")


class Granted(Protocol):
    """What the registry must know of a grant."""

    @property
    def agent_id(self) -> int: ...


class TunnelRegistry:
    """The connected agents of this process."""

    def __init__(self) -> None:
        self._tunnels: dict[int, list[NativeTunnel]] = {}
        self._waiters: defaultdict[int, list[asyncio.Future[None]]] = defaultdict(list)

    def add(self, agent_id: int, tunnel: NativeTunnel) -> None:
        """The tunnel takes streams from now on; whoever waits for this agent goes on."""
        self._tunnels.setdefault(agent_id, []).append(tunnel)
        _tunnels_ready.inc()
        for waiter in self._waiters.pop(agent_id, ()):
            if not waiter.done():
                waiter.set_result(None)

    def remove(self, agent_id: int, tunnel: NativeTunnel) -> None:
        """The tunnel takes no more streams; those it has run on."""
        tunnels = self._tunnels.get(agent_id, [])
        if tunnel in tunnels:
            tunnels.remove(tunnel)
            _tunnels_ready.dec()
        if not tunnels:
            self._tunnels.pop(agent_id, None)

    def count(self, agent_id: int) -> int:
        """How many pods of this agent are connected here."""
        return len(self._tunnels.get(agent_id, ()))

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

    async def wait_for_agent(self, agent_id: int, timeout_s: float) -> bool:
        """Whether a tunnel of the agent takes streams, now or within the time."""
        # One that is about to go stays in the books until its socket is closed: it is no reason to stop waiting.
        if any(tunnel.can_open for tunnel in self._tunnels.get(agent_id, ())):
            return True
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[agent_id].append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return False
        finally:
            waiting = self._waiters.get(agent_id)
            if waiting is not None and waiter in waiting:
                waiting.remove(waiter)
                if not waiting:
                    del self._waiters[agent_id]
        return True


def _load(tunnel: NativeTunnel) -> tuple[bool, int]:
    return (not tunnel.can_open, tunnel.stream_count)
