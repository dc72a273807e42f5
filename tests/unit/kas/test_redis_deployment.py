"""What runs while several kas share a Redis; that Redis is away is no reason not to run."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.kas.agent_tracker.redis import RedisAgentTracker
from kasbah.kas.redis.settings import RedisSettings
from kasbah.kas.redis_deployment import over_redis


@pytest.mark.asyncio
async def test_it_runs_until_cancelled_without_redis_too():
    deployment = over_redis(RedisSettings(addresses=("127.0.0.1:1",)), b"s" * 32)
    assert isinstance(deployment.tracker, RedisAgentTracker)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await deployment.run()
