"""The last use is kept in memory and written seldom."""

from __future__ import annotations

from datetime import timedelta

from kasbah.hub.last_used import LastUsed
from tests.doubles.hub_services import START


def after(minutes: float):
    return START + timedelta(minutes=minutes)


def test_the_first_use_ever_is_written_at_once():
    assert LastUsed(lambda: 0.0).note(1, START, None)


def test_the_next_write_waits_40_to_55_minutes():
    for random, due in ((0.0, 40), (0.999, 54.985)):
        uses = LastUsed(lambda value=random: value)
        uses.note(1, START, None)
        assert not uses.note(1, after(due - 0.1), START)
        assert uses.note(1, after(due + 0.1), START)


def test_a_recent_column_is_not_written_again_after_a_restart():
    uses = LastUsed(lambda: 0.0)
    assert not uses.note(1, after(10), START)
    assert LastUsed(lambda: 0.0).note(1, after(41), START)


def test_the_newer_of_memory_and_column_is_shown():
    uses = LastUsed(lambda: 0.0)
    uses.note(1, after(5), START)
    assert uses.newest(1, START) == after(5)
    assert uses.newest(1, after(9)) == after(9)
    assert uses.newest(2, START) == START
    assert uses.newest(2, None) is None


def test_what_the_database_lacks_is_known_at_the_end():
    uses = LastUsed(lambda: 0.0)
    uses.note(1, START, None)
    uses.note(1, after(5), START)
    uses.note(2, START, None)
    assert uses.unwritten() == {1: after(5)}


def test_a_forgotten_token_is_gone():
    uses = LastUsed(lambda: 0.0)
    uses.note(1, START, None)
    uses.forget(1)
    uses.forget(1)
    assert uses.newest(1, None) is None


def test_memory_is_bounded():
    uses = LastUsed(lambda: 0.0)
    for token_id in range(20_001):
        uses.note(token_id, START, None)
    assert uses.newest(0, None) is None
    assert uses.newest(20_000, None) == START
