from __future__ import annotations

from bench.results import Goal, Report, Spread


def test_a_spread_shows_the_middle_and_both_ends():
    assert Spread.of([3, 1, 2]).show(lambda value: f"{value:.0f}") == "2 (1 to 3)"


def test_a_floor_and_a_ceiling_are_both_goals():
    assert Goal(what="rate", value=0.7, bound=0.6, at_least=True).met
    assert not Goal(what="rate", value=0.5, bound=0.6, at_least=True).met
    assert not Goal(what="memory", value=50, bound=48).met


def test_a_missed_goal_is_seen_in_the_table():
    report = Report(title="Memory", how="", goals=[Goal(what="idle", value=50, bound=48, unit="MiB")])
    assert "| idle | 50.00 MiB | ≤ 48 MiB | **no** |" in report.markdown()
