"""The tracker of several kas: what one is told, all of them know, and what nobody says again leaves by itself.

Keys, after the deployment's prefix; numbers are decimal:

    agent_tracker:agent:<agent id>       hash: connection id → "<forgotten at> <connected at> <JSON>"
    agent_tracker:project:<project id>   sorted set: agent id, by when it is forgotten
    agent_tracker:agents                 sorted set: agent id, by when it is forgotten

A registration is one script, so however many come at once, an agent never has more pods than it may. What could not
be said while Redis was away is kept here, bounded, and said when it is back.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from kasbah.kas.agent_tracker.tracker import (
    FORGET_AFTER_S,
    MAX_PODS_PER_AGENT,
    ConnectedAgent,
    TrackerUnavailableError,
    oldest_first,
)
from kasbah.kas.redis.client import RedisClient, RedisUnavailableError

_MAX_OWED: Final = 10_000
_SAY_AGAIN_EVERY_S: Final = 2.0
_ASKED_AT_ONCE: Final = 500
"""Agents whose pods are asked for in one round trip."""

_REGISTER: Final = """
local agent, project, agents = KEYS[1], KEYS[2], KEYS[3]
local pod, now, forgotten_at, text, max, ttl, agent_id = unpack(ARGV)
local since, living, silent, silent_until = now, 0, false, math.huge
local pods = redis.call('HGETALL', agent)
for i = 1, #pods, 2 do
  local forgotten, connected = string.match(pods[i + 1], '^(%S+) (%S+) ')
  if tonumber(forgotten) <= tonumber(now) then redis.call('HDEL', agent, pods[i])
  elseif pods[i] == pod then since = connected
  else
    living = living + 1
    if tonumber(forgotten) < silent_until then silent, silent_until = pods[i], tonumber(forgotten) end
  end
end
if living >= tonumber(max) and redis.call('HEXISTS', agent, pod) == 0 then redis.call('HDEL', agent, silent) end
redis.call('HSET', agent, pod, forgotten_at .. ' ' .. since .. ' ' .. text)
redis.call('EXPIRE', agent, ttl)
for _, known in ipairs({project, agents}) do
  redis.call('ZREMRANGEBYSCORE', known, '-inf', now)
  redis.call('ZADD', known, forgotten_at, agent_id)
  redis.call('EXPIRE', known, ttl)
end
"""
_UNREGISTER: Final = """
redis.call('HDEL', KEYS[1], ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('ZREM', KEYS[2], ARGV[2]) end
"""


class RedisAgentTracker:
    """Implements `AgentTracker`; `run` says again what Redis did not hear.

    Args:
        clock: seconds since 1970; those of the replicas must agree to within a minute.
    """

    def __init__(self, redis: RedisClient, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._clock = clock
        self._prefix = f"{redis.prefix}agent_tracker:"
        self._owed: dict[tuple[int, int], ConnectedAgent] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_SAY_AGAIN_EVERY_S)
            while self._owed and await self._register(next(iter(self._owed.values()))):
                pass

    async def register(self, agent: ConnectedAgent) -> None:
        if len(self._owed) < _MAX_OWED:
            self._owed[agent.agent_id, agent.connection_id] = agent
        await self._register(agent)

    async def unregister(self, agent_id: int, connection_id: int) -> None:
        self._owed.pop((agent_id, connection_id), None)
        keys = (self._agent(agent_id), f"{self._prefix}agents")

        async def work(redis: Redis) -> object:
            return await redis.eval(_UNREGISTER, len(keys), *keys, str(connection_id), str(agent_id))

        try:
            await self._redis.call("unregister", work)
        except RedisUnavailableError:
            return  # it leaves by itself

    async def agent_connections(self, *agent_ids: int) -> list[ConnectedAgent]:
        return oldest_first(await self._pods(dict.fromkeys(agent_ids)))

    async def project_connections(self, *project_ids: int) -> list[ConnectedAgent]:
        now = self._clock()

        async def work(redis: Redis) -> list[list[bytes]]:
            pipeline = redis.pipeline(transaction=False)
            for project_id in project_ids:
                pipeline.zrangebyscore(self._project(project_id), f"({now}", "+inf")
            return await pipeline.execute()

        found = await self._ask("connected agents", work)
        pods = await self._pods(dict.fromkeys(int(agent_id) for agents in found for agent_id in agents))
        return oldest_first(pod for pod in pods if pod.project_id in project_ids)

    async def count(self) -> int:
        now = self._clock()
        return int(
            await self._ask("count", lambda redis: redis.zcount(f"{self._prefix}agents", f"({now}", "+inf"))
        )

    async def count_by_version(self) -> Mapping[str, int]:
        now = self._clock()
        known = await self._ask(
            "count", lambda redis: redis.zrangebyscore(f"{self._prefix}agents", f"({now}", "+inf")
        )
        return Counter(pod.version for pod in await self._pods([int(agent_id) for agent_id in known]))

    # -- what is said and asked ----------------------------------------------------------------------------------

    async def _register(self, agent: ConnectedAgent) -> bool:
        """Whether Redis heard it."""
        now = self._clock()
        keys = (self._agent(agent.agent_id), self._project(agent.project_id), f"{self._prefix}agents")
        said = (
            str(agent.connection_id),
            repr(now),
            repr(now + FORGET_AFTER_S),
            msgspec.json.encode(agent),
            str(MAX_PODS_PER_AGENT),
            str(FORGET_AFTER_S),
            str(agent.agent_id),
        )
        try:
            await self._redis.call("register", lambda redis: redis.eval(_REGISTER, len(keys), *keys, *said))
        except RedisUnavailableError:
            return False
        if self._owed.get((agent.agent_id, agent.connection_id)) == agent:
            del self._owed[agent.agent_id, agent.connection_id]
        return True

    async def _pods(self, agent_ids: Iterable[int]) -> list[ConnectedAgent]:
        asked, pods = list(agent_ids), []
        for start in range(0, len(asked), _ASKED_AT_ONCE):
            pods += await self._some_pods(asked[start : start + _ASKED_AT_ONCE])
        return pods

    async def _some_pods(self, agent_ids: Sequence[int]) -> list[ConnectedAgent]:
        async def work(redis: Redis) -> list[list[bytes]]:
            pipeline = redis.pipeline(transaction=False)
            for agent_id in agent_ids:
                pipeline.hvals(self._agent(agent_id))
            return await pipeline.execute()

        now = self._clock()
        found = await self._ask("connected agents", work)
        pods = [_parse(text, now) for texts in found for text in texts]
        return [pod for pod in pods if pod is not None]

    async def _ask(self, purpose: str, work: Callable[[Redis], Any]) -> Any:
        try:
            return await self._redis.call(purpose, work)
        except RedisUnavailableError as error:
            raise TrackerUnavailableError(str(error), retryable=True) from error

    def _agent(self, agent_id: int) -> str:
        return f"{self._prefix}agent:{agent_id}"

    def _project(self, project_id: int) -> str:
        return f"{self._prefix}project:{project_id}"


def _parse(text: bytes, now: float) -> ConnectedAgent | None:
    """The pod, unless it is forgotten or was written by somebody else."""
    try:
        forgotten_at, connected_at, record = text.split(b" ", 2)
        if float(forgotten_at) <= now:
            return None
        return replace(msgspec.json.decode(record, type=ConnectedAgent), connected_at=float(connected_at))
    except (ValueError, msgspec.DecodeError):
        return None
