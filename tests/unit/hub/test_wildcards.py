"""A star stands for anything, and for nothing."""

from __future__ import annotations

import pytest

from kasbah.hub.wildcards import matches


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("main", "main", True),
        ("main", "Main", False),
        ("main", "maintenance", False),
        ("*", "", True),
        ("*", "anything/at all", True),
        ("review/*", "review/", True),
        ("review/*", "review", False),
        ("*-stable", "1-2-stable", True),
        ("*-stable", "1-2-stable-not", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "a-c-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("a**b", "ab", True),
        ("v?.[0-9]", "v1.2", False),
        ("v?.[0-9]", "v?.[0-9]", True),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_a_pattern_fits_the_whole_text(pattern, text, expected):
    assert matches(pattern, text) is expected


@pytest.mark.timeout(5)
def test_many_stars_cost_no_time():
    assert not matches("*a" * 100 + "b", "a" * 10_000)
