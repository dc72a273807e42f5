"""A memory that forgets."""

from __future__ import annotations

import pytest

from kasbah.kas.hub_client.errors import HubNotFoundError, HubUnavailableError
from kasbah.kas.hub_client.expiring import AnswerMemory, ExpiringCache


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


@pytest.mark.asyncio
async def test_answers_and_refusals_are_remembered_and_silence_is_not():
    now = [0.0]
    memory = AnswerMemory[str, int](lambda: now[0], 10, ttl_s=5, error_ttl_s=2)
    outcomes: list[int | Exception] = [HubUnavailableError("away"), HubNotFoundError("no"), 1, 2]

    async def ask() -> int:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with pytest.raises(HubUnavailableError):
        await memory.get("a", ask)
    for _ in range(2):
        with pytest.raises(HubNotFoundError, match="no"):
            await memory.get("a", ask)
    now[0] = 2
    assert [await memory.get("a", ask), await memory.get("a", ask)] == [1, 1]
    assert await memory.get("a", ask, fresh=True) == 2
