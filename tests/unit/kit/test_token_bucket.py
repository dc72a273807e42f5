"""A burst at once, then one after the other."""

from __future__ import annotations

from kasbah.kit.token_bucket import TokenBucket


def test_a_burst_goes_at_once_and_the_rest_waits_in_order():
    bucket = TokenBucket(rate=2, burst=3)
    assert [bucket.take(100, 10) for _ in range(5)] == [0, 0, 0, 0.5, 1.0]


def test_time_brings_turns_back_but_no_more_than_a_burst():
    bucket = TokenBucket(rate=2, burst=3)
    assert [bucket.take(0, 10) for _ in range(4)][-1] == 0.5
    assert bucket.take(1000, 10) == bucket.take(1000, 10) == bucket.take(1000, 10) == 0
    assert bucket.take(1000, 10) == 0.5


def test_who_would_wait_too_long_takes_no_turn():
    bucket = TokenBucket(rate=1, burst=1)
    assert bucket.take(0, 0) == 0
    assert [bucket.take(0, 0.5) for _ in range(100)] == [None] * 100
    assert bucket.take(0, 1) == 1


def test_without_a_limit_nobody_waits():
    bucket = TokenBucket(rate=float("inf"), burst=1)
    assert {bucket.take(0, 0) for _ in range(100)} == {0.0}
