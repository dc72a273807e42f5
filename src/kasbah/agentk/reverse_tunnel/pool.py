"""The tunnels of one gRPC connection: each carries one call and is used up, so some always wait for the next.

GitLab's rules, which kas counts on: two idle at least; ten more when a call leaves fewer; 500 in all; what is used up
is replaced; a tunnel that kas ended unused is not replaced when there are more than two and nothing came for a minute.
We never end an idle one while kas may be handing it out in that very moment: a kas that was told that we go ends them.
Knows no asyncio and no clock: `tick` tells the time, to the second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from prometheus_client import Gauge

from kasbah.kit.backoff import Backoff, BackoffSettings
from kasbah.wire.methods import CONNECT
from kasbah.wire.reverse_tunnel.agent_end import AgentEnd
from kasbah.wire.rpc import Call, CallHandler, Metadata, RpcError, StatusCode

_log = structlog.get_logger()

_tunnels = Gauge("kasbah_agentk_tunnels", "Tunnels of GitLab's kind, by what they do.", ["state"])
_idle, _active = _tunnels.labels("idle"), _tunnels.labels("active")

MIN_IDLE: Final = 2
MAX_TUNNELS: Final = 500
GROWTH: Final = 10
KEEP_S: Final = 60.0
BACKOFF: Final = BackoffSettings(initial_s=1, maximum_s=20, reset_s=25, factor=1.6, jitter=0.2)

_SETTLED_S: Final = 2.0
"""A tunnel that was not refused for so long is accepted."""
_CLEAN: Final = frozenset({StatusCode.OK, StatusCode.CANCELLED, StatusCode.DEADLINE_EXCEEDED})
_HINTS: Final = {
    StatusCode.UNAUTHENTICATED: "the agent's token is unknown or was revoked: give agentk a valid one",
    StatusCode.PERMISSION_DENIED: "the Git side does not let this agent in",
    StatusCode.NOT_FOUND: "the Git side does not know this agent any more",
    StatusCode.UNIMPLEMENTED: "whoever answers is not kas, or too old: check --kas-address",
}

OpenCall = Callable[[str, CallHandler], Call]
Serve = Callable[[str, Metadata, Call], CallHandler]


@dataclass(slots=True)
class _Tunnel:
    opened_at: float
    active: bool = False


class TunnelPool:
    """Keeps tunnels open from `start` to `stop`.

    Args:
        open_call: makes a call on the connection; raises `RpcError` when it takes none.
        serve: answers a call that came through a tunnel.
        elsewhere: how many tunnels this pod has on other connections.
        random: uniform in [0, 1).
    """

    def __init__(
        self,
        open_call: OpenCall,
        serve: Serve,
        *,
        elsewhere: Callable[[], int],
        random: Callable[[], float],
    ) -> None:
        self._open_call = open_call
        self._serve = serve
        self._elsewhere = elsewhere
        self._random = random
        self._tunnels: dict[AgentEnd, _Tunnel] = {}
        self._active = 0
        self._size = MIN_IDLE
        self._taking = False
        self._now = 0.0
        self._busy_at = 0.0
        self._backoff = Backoff(BACKOFF)
        self._retry_at = 0.0
        self._complaint = ""

    @property
    def count(self) -> int:
        """Tunnels open now, idle and active."""
        return len(self._tunnels)

    @property
    def idle(self) -> int:
        return len(self._tunnels) - self._active

    @property
    def is_accepted(self) -> bool:
        """Whether kas has shown that it takes our tunnels."""
        return self._active > 0 or any(
            self._now - tunnel.opened_at >= _SETTLED_S for tunnel in self._tunnels.values()
        )

    def start(self, now: float) -> None:
        """Open the first tunnels."""
        self._now = self._busy_at = self._retry_at = now
        self._taking = True
        self._fill()

    def stop(self) -> None:
        """Open no more; those in use run on, and kas ends the idle ones."""
        self._taking = False

    def abandon_idle(self, reason: str) -> None:
        """Give up the idle ones, which kas has not ended; what it was just handing out is lost."""
        for end in [end for end, tunnel in self._tunnels.items() if not tunnel.active]:
            end.abandon(reason)

    def tick(self, now: float) -> None:
        """About once a second."""
        self._now = now
        if self._complaint and self.is_accepted:
            _log.info("kas takes tunnels again", tunnels=self.count)
            self._complaint = ""
        self._fill()

    # -- what tunnels say ----------------------------------------------------------------------------------------

    def call_opened(self, end: AgentEnd, path: str, metadata: Metadata, call: Call) -> CallHandler:
        self._tunnels[end].active = True
        self._active += 1
        _idle.dec()
        _active.inc()
        self._busy_at = self._now
        if self.idle < MIN_IDLE:
            self._size = min(max(self._size, self.count + GROWTH), MAX_TUNNELS)
            self._fill()
        return self._serve(path, metadata, call)

    def tunnel_over(self, end: AgentEnd, code: StatusCode, message: str, *, used: bool) -> None:
        tunnel = self._tunnels.pop(end, None)
        if tunnel is None:  # it was refused while it was being opened
            return
        self._active -= tunnel.active
        (_active if tunnel.active else _idle).dec()
        if not self._taking:
            return
        if not used and code not in _CLEAN:
            self._refused(code, message)
        elif used:
            self._fill()
        elif self.idle >= MIN_IDLE and self._now - self._busy_at > KEEP_S:
            self._size = max(MIN_IDLE, self._size - 1)
        elif tunnel.opened_at < self._now:
            self._fill()  # else with the next tick: somebody ends tunnels as fast as we open them

    # -- opening -------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        most = MAX_TUNNELS - self._elsewhere()
        while (
            self._taking
            and self._now >= self._retry_at
            and self.count < min(max(self._size, self._active + MIN_IDLE), most)
        ):
            end = AgentEnd(self)
            try:
                call = self._open_call(CONNECT.path, end)
            except RpcError:
                return  # the connection carries no more for now, or is about to go
            self._tunnels[end] = _Tunnel(self._now)
            _idle.inc()
            end.start(call)

    def _refused(self, code: StatusCode, message: str) -> None:
        """One back-off for all of them, and one line for each outage."""
        if self._now < self._retry_at:
            return
        self._size = MIN_IDLE
        delay_s = self._backoff.failed(self._now, self._random())
        self._retry_at = self._now + delay_s
        if message != self._complaint:
            self._complaint = message or code.name.lower()
            _log.warning(
                "kas refuses tunnels",
                status=code.name.lower(),
                error=message,
                hint=_HINTS.get(code, "agentk goes on trying"),
            )
