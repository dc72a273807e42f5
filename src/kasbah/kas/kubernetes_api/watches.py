"""Opens watches and keeps them: they outlive the tunnel they began on.

Those whose stream broke off stand in a line, one for each agent, and go on when the agent can be reached: some at a time,
so that thousands that broke at once do not fall upon an API server together. One timer serves them all.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final, Protocol

import structlog
from prometheus_client import Counter, Gauge

from kasbah.kas.http_server.clock import CoarseClock
from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.kas.kubernetes_api.kept_watch import KeptWatch, WatchClient
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kas.reverse_tunnel.registry import Waiter
from kasbah.kit.jitter import chance
from kasbah.wire.request_policy import ProxyRequest
from kasbah.wire.stream import Stream, StreamClass, StreamHandler

_log = structlog.get_logger()
_TICK_S: Final = 0.25
_LOOK_S: Final = 5.0
"""How often stalled watches are looked for."""
MAX_REOPENING: Final = 64
"""Watches of one agent that are sent again at once."""
ANSWER_S: Final = 30.0
"""How long the answer to a watch that was sent again may take to begin."""

_kept: Final = Gauge("kasbah_kas_watches_kept", "Watches that can be resumed when their stream breaks off")
_broken: Final = Gauge(
    "kasbah_kas_watches_broken", "Watches whose stream broke off and that wait to be resumed"
)
_stalled: Final = Counter(
    "kasbah_kas_watches_stalled", "Watches taken for dead because their bookmarks did not come"
)


class WatchTunnels(Protocol):
    """The way to the agents; `TunnelRegistry` is one."""

    def open_nowait(
        self, grant: Grant, opening: bytes, stream_class: StreamClass, handler: StreamHandler
    ) -> Stream | None: ...

    def wait(self, agent_id: int, waiter: Waiter) -> None: ...

    def stop_waiting(self, agent_id: int, waiter: Waiter) -> None: ...


class WatchOpener:
    """The way to the agents for watches; `run` it as long as watches may run.

    Attributes:
        held_bytes: of events that are not whole yet, over all watches.
    """

    chance = staticmethod(chance)

    def __init__(self, tunnels: WatchTunnels, settings: KubernetesApiSettings, clock: CoarseClock) -> None:
        self.settings = settings
        self.held_bytes = 0
        self._tunnels = tunnels
        self._clock = clock
        self._watches: set[KeptWatch] = set()
        self._lines: dict[int, _Line] = {}
        self._look_at = 0.0
        _kept.set_function(lambda: float(len(self._watches)))
        _broken.set_function(lambda: float(sum(len(line) for line in self._lines.values())))

    @property
    def now(self) -> float:
        """Monotonic seconds."""
        return self._clock.now

    def open_nowait(self, grant: Grant, request: ProxyRequest, client: WatchClient) -> Stream | None:
        """A stream for this watch, or None when no tunnel of the agent is ready.

        Raises:
            PeerError: the opening is too large to travel.
        """
        watch = KeptWatch(self, grant, request, client)
        return watch if watch.open_nowait() else None

    def open_stream(self, grant: Grant, opening: bytes, handler: StreamHandler) -> Stream | None:
        """As `WatchKeeper` says."""
        return self._tunnels.open_nowait(grant, opening, StreamClass.WATCH, handler)

    async def run(self) -> None:
        """Take up what broke and find what stalled, until cancelled."""
        while True:
            self.sweep()
            await asyncio.sleep(_TICK_S)

    def sweep(self) -> None:
        """Whatever is due now."""
        now = self.now
        for line in list(self._lines.values()):
            line.sweep(now)
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            stalled = [watch for watch in self._watches if watch.is_stalled]
            for watch in stalled:
                _stalled.inc()
                watch.stalled()
            if stalled:
                _log.warning("watches have stalled and are opened again", watches=len(stalled))

    # From the watches.

    def keep(self, watch: KeptWatch) -> None:
        """It can be resumed from now on."""
        self._watches.add(watch)

    def reopen(self, watch: KeptWatch, delay_s: float) -> None:
        """As `WatchKeeper` says."""
        agent_id = watch.grant.agent_id
        line = self._lines.get(agent_id)
        if line is None:
            line = self._lines[agent_id] = _Line(self, self._tunnels, agent_id)
        line.add(watch, self.now + delay_s if delay_s else 0.0)

    def reopened(self, watch: KeptWatch) -> None:
        """It no longer waits."""
        line = self._lines.get(watch.grant.agent_id)
        if line is not None:
            line.remove(watch)

    def forget(self, watch: KeptWatch) -> None:
        """It is over."""
        self._watches.discard(watch)
        self.reopened(watch)

    def line_empty(self, agent_id: int, line: _Line) -> None:
        """Nothing of this agent is broken any more."""
        if self._lines.get(agent_id) is line:
            del self._lines[agent_id]


class _Line:
    """The broken watches of one agent; stands in the tunnels' line for all of them."""

    __slots__ = ("_agent_id", "_due", "_going_on", "_in_line", "_later", "_opener", "_reopening", "_tunnels")

    def __init__(self, opener: WatchOpener, tunnels: WatchTunnels, agent_id: int) -> None:
        self._opener = opener
        self._tunnels = tunnels
        self._agent_id = agent_id
        self._due: OrderedDict[KeptWatch, None] = OrderedDict()
        self._later: dict[KeptWatch, float] = {}
        self._reopening: set[KeptWatch] = set()
        self._in_line = False
        self._going_on = False

    def __len__(self) -> int:
        return len(self._due) + len(self._later) + len(self._reopening)

    def add(self, watch: KeptWatch, due_at: float) -> None:
        """Let it go on from this moment on; 0 for at once."""
        self._reopening.discard(watch)
        self._later.pop(watch, None)
        if due_at:
            self._later[watch] = due_at
        else:
            self._due[watch] = None
        self._go_on()

    def remove(self, watch: KeptWatch) -> None:
        """It no longer waits."""
        self._due.pop(watch, None)
        self._later.pop(watch, None)
        self._reopening.discard(watch)
        self._go_on()

    def sweep(self, now: float) -> None:
        """Give up what has waited too long; let go on whose time has come."""
        for watch in (*self._due, *self._later, *self._reopening):
            watch.expire()
        for watch in [w for w in self._reopening if now - w.opened_at > ANSWER_S]:
            watch.unanswered()
        for watch in [w for w, due_at in self._later.items() if due_at <= now]:
            del self._later[watch]
            self._due[watch] = None
        self._go_on()

    def tunnel_ready(self) -> None:
        """A tunnel of the agent can be used."""
        self._in_line = False
        self._go_on()

    def _go_on(self) -> None:
        if (
            self._going_on
        ):  # a watch that ends when its turn comes leaves the line, and thousands may do so in a row
            return
        self._going_on = True
        try:
            self._reopen_due()
        finally:
            self._going_on = False
        if not len(self):
            self._opener.line_empty(self._agent_id, self)

    def _reopen_due(self) -> None:
        while self._due and len(self._reopening) < MAX_REOPENING and not self._in_line:
            watch, _ = self._due.popitem(last=False)
            self._reopening.add(watch)
            if not watch.reopen_nowait():
                self._reopening.discard(watch)
                self._due[watch] = None
                self._due.move_to_end(watch, last=False)
                self._in_line = True
                self._tunnels.wait(self._agent_id, self)
        if not self._due and self._in_line:
            self._in_line = False
            self._tunnels.stop_waiting(self._agent_id, self)
