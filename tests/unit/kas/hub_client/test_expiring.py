"""A memory that forgets."""

from __future__ import annotations

from kasbah.kas.hub_client.expiring import ExpiringCache


def test_a_value_is_forgotten_when_its_time_is_over():
    now = [0.0]
    cache = ExpiringCache[str, int](lambda: now[0], 10)
    cache.put("a", 1, 5)
    now[0] = 4.9
    assert cache.get("a") == 1
    now[0] = 5.0
    assert cache.get("a") is None
    assert len(cache) == 0


def test_the_oldest_goes_when_there_are_too_many():
    cache = ExpiringCache[str, int](lambda: 0.0, 2)
    for number, key in enumerate("abac"):
        cache.put(key, number, 5)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (2, None, 3)
