from __future__ import annotations

from bench.results import Goal, Report, Spread


def test_a_spread_shows_the_middle_and_both_ends():
    assert Spread.of([3, 1, 2]).show(lambda value: f"{value:.0f}") == "2 (1 to 3)"


def test_a_figure_taken_once_is_shown_alone():
    assert Spread.of([2]).show(lambda value: f"{value:.0f}") == "2"


def test_a_ratio_compares_what_was_taken_together():
    assert Spread.ratio([2, 9], [1, 3]) == Spread(minimum=2, median=2.5, maximum=3)


def test_a_floor_and_a_ceiling_are_both_goals():
    assert Goal(what="rate", value=Spread.of([0.7]), bound=0.6, at_least=True).met
    assert not Goal(what="rate", value=Spread.of([0.5]), bound=0.6, at_least=True).met
    assert not Goal(what="memory", value=Spread.of([50]), bound=48).met


def test_what_is_only_looked_at_is_never_missed():
    goal = Goal(what="rate", value=Spread.of([0.1, 0.3]), bound=None)
    assert goal.met
    assert goal.row() == ("rate", "0.20 (0.100 to 0.30)", "-", "-")


def test_a_missed_goal_is_seen_in_the_table():
    goal = Goal(what="idle", value=Spread.of([50]), bound=48, unit="MiB")
    assert (
        "| idle | 50.00 MiB | ≤ 48 MiB | **no** |" in Report(title="Memory", how="", goals=[goal]).markdown()
    )
