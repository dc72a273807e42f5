"""The tracker of one kas process: dictionaries, and a time after which a silent pod is forgotten."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from kasbah.kas.agent_tracker.tracker import (
    FORGET_AFTER_S,
    MAX_PODS_PER_AGENT,
    ConnectedAgent,
    oldest_first,
)


@dataclass(slots=True)
class _Pod:
    agent: ConnectedAgent
    seen_at: float


class InMemoryAgentTracker:
    """Implements `AgentTracker`.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._pods: dict[int, dict[int, _Pod]] = {}

    async def register(self, agent: ConnectedAgent) -> None:
        now = self._clock()
        pods = self._living(agent.agent_id, now)
        known = pods.pop(agent.connection_id, None)
        if known is None and len(pods) >= MAX_PODS_PER_AGENT:
            del pods[min(pods, key=lambda connection_id: pods[connection_id].seen_at)]
        connected_at = known.agent.connected_at if known else now
        pods[agent.connection_id] = _Pod(replace(agent, connected_at=connected_at), now)
        self._pods[agent.agent_id] = pods

    async def unregister(self, agent_id: int, connection_id: int) -> None:
        pods = self._pods.get(agent_id, {})
        pods.pop(connection_id, None)
        if not pods:
            self._pods.pop(agent_id, None)

    async def agent_connections(self, *agent_ids: int) -> list[ConnectedAgent]:
        now = self._clock()
        asked = dict.fromkeys(agent_ids)
        return oldest_first(pod.agent for agent_id in asked for pod in self._living(agent_id, now).values())

    async def project_connections(self, *project_ids: int) -> list[ConnectedAgent]:
        return oldest_first(agent for agent in self._all() if agent.project_id in project_ids)

    async def count(self) -> int:
        return len({agent.agent_id for agent in self._all()})

    async def count_by_version(self) -> Mapping[str, int]:
        return Counter(agent.version for agent in self._all())

    def _all(self) -> Iterator[ConnectedAgent]:
        now = self._clock()
        for agent_id in list(self._pods):
            for pod in self._living(agent_id, now).values():
                yield pod.agent

    def _living(self, agent_id: int, now: float) -> dict[int, _Pod]:
        """The agent's pods, after the silent ones were forgotten."""
        pods = self._pods.get(agent_id, {})
        for connection_id in [key for key, pod in pods.items() if now - pod.seen_at >= FORGET_AFTER_S]:
            del pods[connection_id]
        if not pods:
            self._pods.pop(agent_id, None)
        return pods
