"""The tracker of one kas process: dictionaries, and a time after which a silent pod is forgotten.

Bounded: a token that registers pod after pod pushes out its own pods only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from kasbah.kas.agent_tracker.tracker import ConnectedAgent

FORGET_AFTER_S: Final = 11 * 60
"""Pods register every five minutes; one lost call is no absence."""
MAX_PODS_PER_AGENT: Final = 20


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

    async def agent_connections(self, agent_id: int) -> list[ConnectedAgent]:
        return _oldest_first(self._living(agent_id, self._clock()).values())

    async def project_connections(self, project_id: int) -> list[ConnectedAgent]:
        now = self._clock()
        pods = [pod for agent_id in list(self._pods) for pod in self._living(agent_id, now).values()]
        return _oldest_first(pod for pod in pods if pod.agent.project_id == project_id)

    async def count(self) -> int:
        now = self._clock()
        return sum(1 for agent_id in list(self._pods) if self._living(agent_id, now))

    def _living(self, agent_id: int, now: float) -> dict[int, _Pod]:
        """The agent's pods, after the silent ones were forgotten."""
        pods = self._pods.get(agent_id, {})
        for connection_id in [key for key, pod in pods.items() if now - pod.seen_at >= FORGET_AFTER_S]:
            del pods[connection_id]
        if not pods:
            self._pods.pop(agent_id, None)
        return pods


def _oldest_first(pods: Iterable[_Pod]) -> list[ConnectedAgent]:
    return sorted((pod.agent for pod in pods), key=lambda agent: (agent.connected_at, agent.connection_id))
