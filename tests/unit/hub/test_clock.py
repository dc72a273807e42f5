"""The hub's time."""

from __future__ import annotations

from datetime import UTC

from kasbah.hub.clock import utc_now


def test_times_are_utc_and_cut_to_milliseconds():
    now = utc_now()
    assert now.tzinfo is UTC
    assert now.microsecond % 1000 == 0
