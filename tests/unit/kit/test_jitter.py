"""Chance stays within its bounds, and is not always the same."""

from __future__ import annotations

from kasbah.kit.jitter import chance


def test_chance_is_a_part_of_one_and_differs():
    drawn = {chance() for _ in range(100)}
    assert all(0 <= one < 1 for one in drawn)
    assert len(drawn) > 1
