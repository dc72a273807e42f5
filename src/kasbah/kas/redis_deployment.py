"""What the kas of one deployment know together, in Redis. Imported only when there is one: the library is large."""

from __future__ import annotations

import asyncio

from kasbah.kas.agent_tracker.redis import RedisAgentTracker
from kasbah.kas.deployment import Deployment
from kasbah.kas.notifications.fan_out import SharedGitPushes
from kasbah.kas.private_api.redis_routes import RedisAgentRoutes
from kasbah.kas.redis.client import RedisClient
from kasbah.kas.redis.settings import RedisSettings
from kasbah.kit.tasks import alongside


def over_redis(settings: RedisSettings, secret: bytes) -> Deployment:
    """Everything over one client; `secret` is the private API's."""
    client = RedisClient(settings)
    tracker, pushes = RedisAgentTracker(client), SharedGitPushes(client)

    async def run() -> None:
        async with alongside(client.run()), asyncio.TaskGroup() as tasks:
            tasks.create_task(tracker.run(), name="agent tracker")
            tasks.create_task(pushes.run(), name="push notices")

    return Deployment(
        tracker=tracker,
        pushes=pushes,
        routes=RedisAgentRoutes(client, secret),
        run=run,
        on_back=client.on_back,
    )
