"""Who sends next when the connection is congested."""

from __future__ import annotations

from collections import Counter

from kasbah.wire.native_tunnel.scheduler import QUANTUM, Scheduler
from kasbah.wire.stream import StreamClass


def endless(
    scheduler: Scheduler[str], sent: Counter[str], classes: dict[str, StreamClass], size: int = 16384
):
    def emit(stream: str) -> tuple[int, int]:
        sent[stream] += size
        return size, classes[stream]

    for stream, stream_class in classes.items():
        scheduler.add(stream, stream_class)
    return emit


def test_every_class_gets_its_share_over_many_small_budgets():
    scheduler: Scheduler[str] = Scheduler()
    sent: Counter[str] = Counter()
    emit = endless(
        scheduler, sent, {"k": StreamClass.KEYSTROKE, "s": StreamClass.SMALL, "b": StreamClass.BULK}
    )
    for _ in range(400):
        scheduler.run(16384, emit)
    whole = sum(QUANTUM[c] for c in (StreamClass.KEYSTROKE, StreamClass.SMALL, StreamClass.BULK))
    shares = {name: sent[name] / sent.total() for name in "ksb"}
    assert abs(shares["k"] - QUANTUM[StreamClass.KEYSTROKE] / whole) < 0.05
    assert abs(shares["b"] - QUANTUM[StreamClass.BULK] / whole) < 0.05


def test_streams_of_one_class_take_turns():
    scheduler: Scheduler[str] = Scheduler()
    sent: Counter[str] = Counter()
    emit = endless(scheduler, sent, {"a": StreamClass.BULK, "b": StreamClass.BULK})
    scheduler.run(16384 * 100, emit)
    assert sent["a"] == sent["b"]


def test_a_run_ends_when_nobody_waits():
    scheduler: Scheduler[str] = Scheduler()
    scheduler.add("once", StreamClass.WATCH)
    scheduler.run(1 << 30, lambda _: (10, -1))
    assert not scheduler


def test_a_late_keystroke_waits_for_no_more_than_one_round():
    scheduler: Scheduler[str] = Scheduler()
    order: list[str] = []

    def emit(stream: str) -> tuple[int, int]:
        order.append(stream)
        return (1, -1) if stream == "key" else (65535, StreamClass.BULK)

    scheduler.add("bulk", StreamClass.BULK)
    scheduler.run(65535 * 3, emit)
    scheduler.add("key", StreamClass.KEYSTROKE)
    scheduler.run(65535 * 3, emit)
    assert "key" in order[3:5]
