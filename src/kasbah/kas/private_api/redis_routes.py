"""The routes of a deployment of several kas, in Redis.

One key an agent, after the deployment's prefix: `agent_routes:<agent id>`, a sorted set of entries by when they leave.
An entry is a URL and its seal, by the secret that only the kas of the deployment have: who can merely write to Redis
cannot have requests sent to a place of its own. Entries without a seal are passed over.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis

from kasbah.kas.private_api.routes import ROUTE_TTL_S, RoutesUnavailableError
from kasbah.kas.redis.client import RedisClient, RedisUnavailableError

T = TypeVar("T")


class RedisAgentRoutes:
    """Implements `AgentRoutes`.

    Args:
        redis: shared with other rooms.
        secret: the private API's.
        clock: seconds since 1970; those of the replicas must agree to within a minute.
    """

    def __init__(self, redis: RedisClient, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._secret = secret
        self._clock = clock

    async def publish(self, url: str, agent_ids: Iterable[int]) -> None:
        now = self._clock()

        async def work(redis: Redis) -> None:
            pipeline = redis.pipeline(transaction=False)
            for agent_id in agent_ids:
                key = self._key(agent_id)
                pipeline.zadd(key, {self._entry(agent_id, url): now + ROUTE_TTL_S})
                pipeline.zremrangebyscore(key, "-inf", now)
                pipeline.expire(key, int(ROUTE_TTL_S))
            await pipeline.execute()

        await self._call("publish routes", work)

    async def withdraw(self, url: str, agent_ids: Iterable[int]) -> None:
        async def work(redis: Redis) -> None:
            pipeline = redis.pipeline(transaction=False)
            for agent_id in agent_ids:
                pipeline.zrem(self._key(agent_id), self._entry(agent_id, url))
            await pipeline.execute()

        await self._call("withdraw routes", work)

    async def urls(self, agent_id: int) -> Sequence[str]:
        now = self._clock()

        async def work(redis: Redis) -> Any:
            return await redis.zrangebyscore(self._key(agent_id), f"({now}", "+inf")

        entries: list[bytes] = await self._call("routes", work)
        urls = [entry.rpartition(b" ")[0].decode(errors="replace") for entry in entries]
        return [
            url
            for url, entry in zip(urls, entries, strict=True)
            if hmac.compare_digest(self._entry(agent_id, url).encode(), entry)
        ]

    async def _call(self, purpose: str, work: Callable[[Redis], Awaitable[T]]) -> T:
        try:
            return await self._redis.call(purpose, work)
        except RedisUnavailableError as error:
            raise RoutesUnavailableError(str(error), retryable=True) from error

    def _key(self, agent_id: int) -> str:
        return f"{self._redis.prefix}agent_routes:{agent_id}"

    def _entry(self, agent_id: int, url: str) -> str:
        said = f"kasbah agent route\0{self._redis.prefix}\0{agent_id}\0{url}".encode()
        return f"{url} {hmac.new(self._secret, said, hashlib.sha256).hexdigest()}"
