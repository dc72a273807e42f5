"""Where a request goes, and who waits; connections are doubles that are there or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from kasbah.kas.private_api.router import TunnelRouter
from kasbah.kas.private_api.routes import InMemoryAgentRoutes, RoutesUnavailableError
from kasbah.kas.private_api.settings import PrivateApiSettings
from kasbah.kas.reverse_tunnel.registry import TunnelRegistry
from kasbah.wire.native_tunnel.engine import NativeTunnel
from kasbah.wire.stream import StreamClass
from tests.doubles.loopback_agent import until
from tests.doubles.replica import Grant
from tests.doubles.tunnel_pair import RecordingHandler, TunnelPair

OWN = "grpc://own:1"


@dataclass
class Replicas:
    """Connected to whom the test says."""

    connected: dict[str, TunnelPair] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)
    on_connected: object = None

    def tunnel(self, url: str) -> NativeTunnel | None:
        self.wanted.add(url)
        pair = self.connected.get(url)
        return pair.kas.tunnel if pair else None

    def suspect(self, url: str) -> None:
        del self.connected[url]

    def connect(self, url: str) -> TunnelPair:
        self.connected[url] = pair = TunnelPair()
        self.on_connected(url)  # type: ignore[operator]  # the router has set it
        return pair


class Routes(InMemoryAgentRoutes):
    """Counts questions; away when told so."""

    away = False
    asked = 0

    async def urls(self, agent_id: int) -> Sequence[str]:
        self.asked += 1
        if self.away:
            raise RoutesUnavailableError
        return await super().urls(agent_id)


@dataclass(eq=False)
class Waiter:
    asked: int = 0

    def tunnel_ready(self) -> None:
        self.asked += 1


class Kas:
    def __init__(self) -> None:
        self.routes, self.replicas, self.registry = Routes(), Replicas(), TunnelRegistry()
        settings = PrivateApiSettings(listens=(), own_url=OWN, secret=b"")
        self.router = TunnelRouter(settings, self.registry, self.routes, self.replicas)  # type: ignore[arg-type]

    def open(self):
        return self.router.open_nowait(Grant(), b"opening", StreamClass.SMALL, RecordingHandler())

    async def wait(self) -> Waiter:
        waiter = Waiter()
        self.router.wait(7, waiter)
        await until(lambda: waiter.asked > 0)
        return waiter


@asynccontextmanager
async def running() -> AsyncIterator[Kas]:
    kas = Kas()
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(kas.router.run())
        await asyncio.sleep(0)
        yield kas
        run.cancel()


@pytest.mark.asyncio
async def test_an_agent_that_is_here_costs_no_question():
    async with running() as kas:
        pair = TunnelPair()
        kas.registry.add(7, pair.kas.tunnel)
        assert kas.open() is not None
        assert kas.routes.asked == 0


@pytest.mark.asyncio
async def test_a_way_that_is_known_is_used_without_asking_again():
    async with running() as kas:
        await kas.routes.publish("grpc://a:1", [7])
        kas.replicas.connect("grpc://a:1")
        assert kas.open() is None
        await kas.wait()
        for _ in range(5):
            assert kas.open() is not None
        assert kas.routes.asked == 1


@pytest.mark.asyncio
async def test_a_wait_ends_when_a_replica_is_connected_and_the_own_url_is_nobody():
    async with running() as kas:
        await kas.routes.publish(OWN, [7])
        await kas.routes.publish("grpc://a:1", [7])
        waiter = Waiter()
        kas.router.wait(7, waiter)
        await until(lambda: "grpc://a:1" in kas.replicas.wanted)
        assert not waiter.asked
        kas.replicas.connect("grpc://a:1")
        await until(lambda: waiter.asked == 1)
        assert OWN not in kas.replicas.wanted
        assert not kas.router._searches


@pytest.mark.asyncio
async def test_who_waits_is_asked_in_turn_when_the_agent_connects_here():
    async with running() as kas:
        kas.routes.away = True
        waiters = [Waiter() for _ in range(3)]
        for waiter in waiters:
            kas.router.wait(7, waiter)
        kas.router.stop_waiting(7, waiters[1])
        kas.registry.add(7, TunnelPair().kas.tunnel)
        assert [waiter.asked for waiter in waiters] == [1, 0, 1]
        assert not kas.router._searches
        assert not kas.registry._waiters


@pytest.mark.asyncio
async def test_who_leaves_the_line_ends_the_search():
    async with running() as kas:
        waiter = Waiter()
        kas.router.wait(7, waiter)
        kas.router.stop_waiting(7, waiter)
        kas.router.stop_waiting(7, waiter)
        assert not kas.router._searches
        assert not kas.registry._waiters


@pytest.mark.asyncio
async def test_the_least_loaded_replica_is_asked():
    async with running() as kas:
        pairs = [kas.replicas.connect(url) for url in ("grpc://a:1", "grpc://b:1")]
        for url in kas.replicas.connected:
            await kas.routes.publish(url, [7])
        await kas.wait()
        for _ in range(6):
            kas.open()
        assert [pair.kas.tunnel.stream_count for pair in pairs] == [3, 3]


@pytest.mark.asyncio
async def test_one_that_refused_is_not_asked_again_at_once():
    async with running() as kas:
        await kas.routes.publish("grpc://a:1", [7])
        kas.replicas.connect("grpc://a:1")
        await kas.wait()
        kas.router.refused(7, "grpc://a:1")
        assert kas.open() is None
        kas.router._avoided.clear()
        await kas.wait()
        assert kas.open() is not None


@pytest.mark.asyncio
async def test_without_the_store_what_was_known_last_is_tried():
    async with running() as kas:
        await kas.routes.publish("grpc://a:1", [7])
        kas.replicas.connect("grpc://a:1")
        await kas.wait()
        kas.routes.away = True
        kas.router.refused(7, "grpc://a:1")
        kas.router._avoided.clear()
        await kas.wait()
        assert kas.open() is not None
        kas.router.silent("grpc://a:1")
        assert kas.open() is None


@pytest.mark.asyncio
async def test_what_is_remembered_is_bounded():
    async with running() as kas:
        for agent_id in range(11_000):
            kas.router.refused(agent_id, "grpc://a:1")
        assert len(kas.router._avoided) == 10_000


@pytest.mark.asyncio
async def test_an_agent_is_away_since_it_was_last_reachable_anywhere():
    async with running() as kas:
        start = now = asyncio.get_running_loop().time()
        kas.registry = kas.router._registry = TunnelRegistry(clock=lambda: now)
        kas.router._now = lambda: now
        now = start + 100
        assert kas.router.away_s(7) == 100
        await kas.routes.publish("grpc://a:1", [7])
        kas.replicas.connect("grpc://a:1")
        await kas.wait()
        assert kas.open() is not None
        now += 4
        assert kas.router.away_s(7) == 4


@pytest.mark.asyncio
async def test_an_agent_whose_kas_is_lost_is_away_since_it_was_looked_for_first():
    async with running() as kas:
        start = now = asyncio.get_running_loop().time()
        kas.router._registry = TunnelRegistry(clock=lambda: now)
        kas.router._now = lambda: now
        now = start + 100
        await kas.routes.publish("grpc://a:1", [7])
        waiter = Waiter()
        for later_s, away_s in ((0, 0), (20, 20), (61, 0)):
            now += later_s
            kas.router.wait(7, waiter)
            asked = kas.routes.asked
            await until(lambda asked=asked: kas.routes.asked > asked)
            await asyncio.sleep(0)
            kas.router.stop_waiting(7, waiter)
            assert kas.router.away_s(7) == away_s
