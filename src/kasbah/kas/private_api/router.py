"""The way to an agent, wherever it is connected: here first, and through another kas when not.

For the proxy this is the tunnel registry with a longer reach. What other replicas publish is remembered for a few
seconds, so a busy agent costs a question now and then; while somebody waits for an agent the store is asked again and
again, and the wait ends at once when the agent connects here. Without the store, what was known last is tried.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from typing import Final, TypeVar

from kasbah.kas.private_api.replicas import Replicas
from kasbah.kas.private_api.routed_stream import RoutedStream
from kasbah.kas.private_api.routes import ROUTE_TTL_S, AgentRoutes, RoutesUnavailableError
from kasbah.kas.private_api.settings import PrivateApiSettings
from kasbah.kas.reverse_tunnel.registry import Granted, TunnelRegistry, Waiter
from kasbah.wire.native_tunnel.engine import NativeTunnel
from kasbah.wire.stream import Stream, StreamClass, StreamHandler

KNOWN_FOR_S: Final = 5.0
"""How long an agent's replicas are taken as they were read."""
_LOOK_EVERY_S: Final = 0.1
_AVOID_S: Final = 0.5
"""How long a replica is not asked again for an agent it had no tunnel of: agents come back."""
_MAX_REMEMBERED: Final = 10_000
_FORGET_MISSING_S: Final = 60.0
"""Who was not looked for in so long is taken to have been there meanwhile."""

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store said of one agent."""

    urls: tuple[str, ...]
    read_at: float
    good_until: float
    """Until then nobody asks the store again."""


@dataclass(frozen=True, slots=True)
class _Missing:
    """An agent that others are said to hold and that somebody had to look for."""

    since: float
    looked_at: float


class TunnelRouter:
    """The proxy's `Tunnels`, and the `Ways` of routed streams. `run` looks for agents that somebody waits for.

    Args:
        registry: the tunnels of this process.
        routes: what all replicas publish.
        replicas: the connections to them.
    """

    def __init__(
        self,
        settings: PrivateApiSettings,
        registry: TunnelRegistry,
        routes: AgentRoutes,
        replicas: Replicas,
    ) -> None:
        self.settings = settings
        self._registry = registry
        self._routes = routes
        self._replicas = replicas
        self._known: OrderedDict[int, _Known] = OrderedDict()
        self._avoided: OrderedDict[tuple[int, str], float] = OrderedDict()
        self._last_way: OrderedDict[int, float] = OrderedDict()
        self._missing: OrderedDict[int, _Missing] = OrderedDict()
        self._searches: dict[int, _Search] = {}
        self._tasks: asyncio.TaskGroup | None = None
        replicas.on_connected = self._connected
        self.find_local = registry.open_nowait
        self.is_busy = registry.is_busy

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            await asyncio.Event().wait()

    def open_nowait(
        self, grant: Granted, opening: bytes, stream_class: StreamClass, handler: StreamHandler
    ) -> Stream | None:
        """Open a Kubernetes API stream to the granted agent, or None when no way is known now.

        Raises:
            PeerError: the opening is too large to travel.
        """
        stream = self.find_local(grant, opening, stream_class, handler)
        if stream is not None:
            return stream
        replica = self.find_replica(grant.agent_id)
        if replica is None:
            return None
        routed = RoutedStream(self, grant, opening, stream_class, handler)
        routed.ask(*replica)
        return routed

    def find_replica(self, agent_id: int) -> tuple[str, NativeTunnel] | None:
        """The least loaded connection to a replica that is known to hold a tunnel of the agent."""
        known, now = self._known.get(agent_id), self._now()
        if known is None or now > known.good_until:
            return None
        replica = self._least_loaded(agent_id, known.urls)
        if replica is not None:
            _remember(self._last_way, agent_id, now)
        return replica

    def away_s(self, agent_id: int) -> float:
        """Since when nobody is known to hold a tunnel of this agent, as far as this process looked."""
        now, missing = self._now(), self._missing.get(agent_id)
        elsewhere_s = now - self._last_way.get(agent_id, -inf)
        if missing is not None and now - missing.looked_at <= _FORGET_MISSING_S:
            elsewhere_s = min(elsewhere_s, now - missing.since)
        return min(self._registry.away_s(agent_id), elsewhere_s)

    def refused(self, agent_id: int, url: str) -> None:
        """It has no tunnel of the agent now: ask it again in a moment, and the store before."""
        known = self._known.get(agent_id)
        if known is not None:
            self._known[agent_id] = replace(known, good_until=0.0)
        _remember(self._avoided, (agent_id, url), self._now() + _AVOID_S)

    def silent(self, url: str) -> None:
        """It answers nothing: dial it again before it is asked anything."""
        self._replicas.suspect(url)

    # -- the line ------------------------------------------------------------------------------------------------

    def wait(self, agent_id: int, waiter: Waiter) -> None:
        """Stand in line for a way to the agent; asked once, or never."""
        search = self._searches.get(agent_id)
        if search is None:
            search = self._searches[agent_id] = _Search(self, agent_id)
            self._registry.wait(agent_id, search)
            if self._tasks is not None:
                search.task = self._tasks.create_task(self._look_for(search), name="search agent")
        search.waiters[waiter] = None

    def stop_waiting(self, agent_id: int, waiter: Waiter) -> None:
        """Leave the line; harmless for who is not in it."""
        search = self._searches.get(agent_id)
        if search is not None:
            search.waiters.pop(waiter, None)
            if not search.waiters:
                self._end(search)

    def next_in_line(self, search: _Search) -> None:
        """One way is there: ask who waits longest."""
        waiter, _ = search.waiters.popitem(last=False)
        if search.waiters:
            self._registry.wait(search.agent_id, search)
        else:
            self._end(search)
        waiter.tunnel_ready()

    def _end(self, search: _Search) -> None:
        self._searches.pop(search.agent_id, None)
        self._registry.stop_waiting(search.agent_id, search)
        if search.task is not None:
            search.task.cancel()

    # -- the search ----------------------------------------------------------------------------------------------

    async def _look_for(self, search: _Search) -> None:
        """Until nobody waits: read the store, have replicas dialled, and tell everybody when one is there."""
        while True:
            urls = await self._read(search.agent_id)
            self._note(search.agent_id, urls)
            if self._least_loaded(search.agent_id, urls) is not None:
                self._end_with_a_way(search)
                return
            search.connected.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await search.connected.wait()

    def _end_with_a_way(self, search: _Search) -> None:
        """A connection takes as many requests as come: all go on."""
        search.task = None  # this very task, which is about to end
        waiters, search.waiters = search.waiters, OrderedDict()
        self._end(search)
        for waiter in waiters:
            waiter.tunnel_ready()

    def _note(self, agent_id: int, urls: tuple[str, ...]) -> None:
        """Somebody looks for the agent: since when may it have been missing, if others say that they have it?"""
        if not urls:
            return
        now, missing = self._now(), self._missing.get(agent_id)
        since = missing.since if missing and now - missing.looked_at <= _FORGET_MISSING_S else now
        _remember(self._missing, agent_id, _Missing(since, now))

    async def _read(self, agent_id: int) -> tuple[str, ...]:
        now = self._now()
        try:
            known = _Known(tuple(await self._routes.urls(agent_id)), now, now + KNOWN_FOR_S)
        except RoutesUnavailableError:
            last = self._known.get(agent_id)
            if last is None or now - last.read_at > ROUTE_TTL_S:
                return ()
            known = replace(last, good_until=now + KNOWN_FOR_S)
        if known.urls:
            _remember(self._known, agent_id, known)
        return known.urls

    def _least_loaded(self, agent_id: int, urls: tuple[str, ...]) -> tuple[str, NativeTunnel] | None:
        """Of the replicas that are connected; the others are dialled."""
        now = self._now()
        asked = [
            url
            for url in urls
            if url != self.settings.own_url and self._avoided.get((agent_id, url), 0) <= now
        ]
        found = [(url, tunnel) for url in asked if (tunnel := self._replicas.tunnel(url)) is not None]
        return min(found, key=lambda pair: pair[1].stream_count, default=None)

    def _connected(self, _url: str) -> None:
        for search in self._searches.values():
            search.connected.set()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


class _Search:
    """Everybody who waits for one agent; stands in the registry's line for all of them."""

    __slots__ = ("_router", "agent_id", "connected", "task", "waiters")

    def __init__(self, router: TunnelRouter, agent_id: int) -> None:
        self._router = router
        self.agent_id = agent_id
        self.waiters: OrderedDict[Waiter, None] = OrderedDict()
        self.connected = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def tunnel_ready(self) -> None:
        """A tunnel of this process can be used."""
        self._router.next_in_line(self)


def _remember(book: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    """At the end of the book; the oldest entries leave when it is full."""
    book[key] = value
    book.move_to_end(key)
    while len(book) > _MAX_REMEMBERED:
        book.popitem(last=False)
