from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kasbah.kit.doctor import clock
from kasbah.kit.doctor.check import FaultError

DATE = "Sat, 21 Nov 2026 12:00:00 GMT"
THEN = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize("seconds", [-60, -1, 0, 59])
def test_a_minute_is_no_skew(seconds: int):
    assert "agree" in clock.compare(DATE, THEN + timedelta(seconds=seconds), "kas").seen


@pytest.mark.parametrize(
    ("skew", "told"),
    [
        (timedelta(seconds=90), "90 seconds ahead of"),
        (timedelta(minutes=-10), "10 minutes behind"),
        (timedelta(hours=5), "5 hours ahead of"),
        (timedelta(days=-400), "400 days behind"),
    ],
)
def test_more_is_told_with_its_side(skew: timedelta, told: str):
    with pytest.raises(FaultError, match=f"{told} that of kas") as found:
        clock.compare(DATE, THEN + skew, "kas")
    assert found.value.fault == "clock-skew"


def test_a_date_that_is_none_says_nothing():
    assert "does not say" in clock.compare("yesterday", THEN, "kas").seen
