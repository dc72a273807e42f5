"""Durations are read and written as Go does."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kasbah.cli.durations import parse_duration, render_duration
from kasbah.cli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24h", timedelta(hours=24)),
        ("24h0m0s", timedelta(hours=24)),
        ("1h30m15s", timedelta(hours=1, minutes=30, seconds=15)),
        ("7d", timedelta(days=7)),
        ("1.5h", timedelta(minutes=90)),
    ],
)
def test_a_duration_is_read(text, expected):
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "24", "h", "-24h", "24 h", "1y", "9" * 30 + "d", "9" * 40])
def test_anything_else_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="like 24h"):
        parse_duration(text)


def test_a_duration_is_printed_as_go_prints_it():
    assert render_duration(timedelta(days=1, minutes=2, seconds=3)) == "24h2m3s"
