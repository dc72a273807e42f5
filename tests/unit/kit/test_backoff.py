"""How long to wait before trying again."""

from __future__ import annotations

from kasbah.kit.backoff import Backoff, BackoffSettings

SETTINGS = BackoffSettings(initial_s=1, maximum_s=8, reset_s=100, factor=2, jitter=0.5)


def test_delays_grow_by_the_factor_up_to_the_maximum():
    backoff = Backoff(SETTINGS)
    assert [backoff.failed(now, 0) for now in range(6)] == [1, 2, 4, 8, 8, 8]


def test_jitter_multiplies_by_one_to_one_and_a_half():
    assert Backoff(SETTINGS).failed(0, 1) == 1.5


def test_a_long_success_starts_over():
    backoff = Backoff(SETTINGS)
    backoff.failed(0, 0)
    backoff.failed(1, 0)
    assert backoff.failed(200, 0) == 1
