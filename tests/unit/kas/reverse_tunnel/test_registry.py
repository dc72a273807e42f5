"""Which pod serves a request, and who waits for one."""

from __future__ import annotations

from dataclasses import dataclass

from kasbah.kas.reverse_tunnel.registry import MAX_REMEMBERED, TunnelRegistry
from kasbah.wire.native_tunnel.frames import GoAwayCode
from kasbah.wire.stream import StreamClass
from tests.doubles.recording_stream import RecordingStream
from tests.doubles.tunnel_pair import RecordingHandler, TunnelPair


@dataclass(frozen=True)
class Grant:
    agent_id: int


def open_one(registry: TunnelRegistry, agent_id: int = 7):
    return registry.open_nowait(Grant(agent_id), b"opening", StreamClass.SMALL, RecordingHandler())


def test_an_agent_nobody_knows_has_no_stream():
    assert open_one(TunnelRegistry()) is None


def test_two_pods_share_the_work():
    registry, pods = TunnelRegistry(), [TunnelPair(), TunnelPair()]
    for pod in pods:
        registry.add(7, pod.kas.tunnel)
    for _ in range(6):
        assert open_one(registry) is not None
    assert [pod.kas.tunnel.stream_count for pod in pods] == [3, 3]


def test_a_pod_that_drains_gets_nothing_new():
    registry, leaving, staying = TunnelRegistry(), TunnelPair(), TunnelPair()
    registry.add(7, leaving.kas.tunnel)
    registry.add(7, staying.kas.tunnel)
    leaving.agent.tunnel.go_away(GoAwayCode.DRAINING)
    leaving.pump()
    open_one(registry)
    assert (leaving.kas.tunnel.stream_count, staying.kas.tunnel.stream_count) == (0, 1)


def test_a_grant_reaches_its_own_agent_only():
    registry, pod = TunnelRegistry(), TunnelPair()
    registry.add(7, pod.kas.tunnel)
    assert open_one(registry, 8) is None
    assert pod.kas.tunnel.stream_count == 0


def test_a_pod_that_left_is_forgotten():
    registry, pod = TunnelRegistry(), TunnelPair()
    registry.add(7, pod.kas.tunnel)
    registry.remove(7, pod.kas.tunnel)
    registry.remove(7, pod.kas.tunnel)
    assert registry.count(7) == 0
    assert open_one(registry) is None


class OneStream:
    """A tunnel that carries one stream at a time."""

    def __init__(self) -> None:
        self.stream_count = 0

    @property
    def can_open(self) -> bool:
        return not self.stream_count

    def open_stream(self, kind, opening, handler, *, stream_class):
        self.stream_count = 1
        return RecordingStream()


class Waiting:
    """Takes a stream when it is asked, unless it has lost interest."""

    def __init__(self, registry: TunnelRegistry, *, interested: bool = True) -> None:
        self.registry, self.interested, self.asked, self.stream = registry, interested, 0, None

    def tunnel_ready(self) -> None:
        self.asked += 1
        if self.interested:
            self.stream = open_one(self.registry)


def test_whoever_waits_goes_on_when_the_agent_connects():
    registry = TunnelRegistry()
    waiting = [Waiting(registry) for _ in range(3)]
    for waiter in waiting:
        registry.wait(7, waiter)
    registry.add(8, TunnelPair().kas.tunnel)
    assert [waiter.asked for waiter in waiting] == [0, 0, 0]
    registry.add(7, TunnelPair().kas.tunnel)
    assert all(waiter.stream is not None for waiter in waiting)


def test_a_tunnel_that_comes_free_goes_to_who_has_waited_longest():
    registry, tunnel = TunnelRegistry(), OneStream()
    registry.add(7, tunnel)
    assert open_one(registry) is not None
    assert open_one(registry) is None
    waiting = [Waiting(registry) for _ in range(3)]
    for waiter in waiting:
        registry.wait(7, waiter)
    for turn in range(3):
        tunnel.stream_count = 0
        registry.ready(7)
        assert [waiter.asked for waiter in waiting] == [int(place <= turn) for place in range(3)]
    assert open_one(registry) is None


def test_who_has_lost_interest_holds_nobody_up():
    registry = TunnelRegistry()
    gone, bored, patient = Waiting(registry), Waiting(registry, interested=False), Waiting(registry)
    for waiter in (gone, bored, patient):
        registry.wait(7, waiter)
    registry.stop_waiting(7, gone)
    registry.stop_waiting(7, gone)
    registry.stop_waiting(8, gone)
    registry.add(7, OneStream())
    assert (gone.asked, bored.asked, patient.asked) == (0, 1, 1)
    assert patient.stream is not None


def test_a_tunnel_that_takes_nothing_more_is_nothing_to_wait_for():
    registry, leaving = TunnelRegistry(), TunnelPair()
    registry.add(7, leaving.kas.tunnel)
    leaving.kas.tunnel.connection_lost("a broken frame")
    waiter = Waiting(registry)
    registry.wait(7, waiter)
    registry.ready(7)
    assert open_one(registry) is None
    assert waiter.asked == 0
    assert not registry.is_busy(7)


def test_an_agent_is_busy_when_all_it_has_is_in_use():
    registry, tunnel = TunnelRegistry(), OneStream()
    assert not registry.is_busy(7)
    registry.add(7, tunnel)
    assert not registry.is_busy(7)
    open_one(registry)
    assert registry.is_busy(7)
    registry.add(7, TunnelPair().kas.tunnel)
    assert not registry.is_busy(7)


def test_the_first_and_the_last_tunnel_of_an_agent_are_told():
    @dataclass
    class Book:
        told: list[str]

        def agent_came(self, agent_id: int) -> None:
            self.told.append(f"{agent_id} came")

        def agent_went(self, agent_id: int) -> None:
            self.told.append(f"{agent_id} went")

    book, pods = Book([]), [TunnelPair(), TunnelPair()]
    registry = TunnelRegistry(book)
    for pod in pods:
        registry.add(7, pod.kas.tunnel)
    for pod in [*pods, pods[0]]:
        registry.remove(7, pod.kas.tunnel)
    assert book.told == ["7 came", "7 went"]


def test_it_knows_how_long_an_agent_is_away_and_of_strangers_how_long_they_were_not_seen():
    now = 100.0
    registry, pod = TunnelRegistry(clock=lambda: now), TunnelPair()
    now += 5
    assert registry.away_s(7) == 5
    registry.add(7, pod.kas.tunnel)
    now += 50
    assert registry.away_s(7) == 0
    registry.remove(7, pod.kas.tunnel)
    now += 3
    assert (registry.away_s(7), registry.away_s(8)) == (3, 58)


def test_the_oldest_absences_are_forgotten():
    now = 0.0
    registry, pod = TunnelRegistry(clock=lambda: now), TunnelPair()
    now = 10.0
    for agent_id in range(MAX_REMEMBERED + 1):
        registry.add(agent_id, pod.kas.tunnel)
        registry.remove(agent_id, pod.kas.tunnel)
    assert (registry.away_s(0), registry.away_s(1)) == (10, 0)
