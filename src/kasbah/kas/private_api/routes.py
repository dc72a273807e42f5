"""Which kas holds a tunnel of which agent: the interface of whatever knows, and the one for a single process.

An entry leaves by itself after `ROUTE_TTL_S` unless it is published again, so a kas that died is forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from kasbah.errors import PeerError

ROUTE_TTL_S: Final = 300.0
REFRESH_S: Final = 240.0
"""How long before a kas publishes its own entries again."""


class RoutesUnavailableError(PeerError):
    """The store of agents' routes is away."""


class AgentRoutes(Protocol):
    """Entries are pairs of an agent and the private API's URL of a kas."""

    async def publish(self, url: str, agent_ids: Iterable[int]) -> None:
        """This kas holds tunnels of these agents from now on, for the time above.

        Raises:
            RoutesUnavailableError: it could not be told.
        """

    async def withdraw(self, url: str, agent_ids: Iterable[int]) -> None:
        """It holds none of theirs any more.

        Raises:
            RoutesUnavailableError: it could not be told.
        """

    async def urls(self, agent_id: int) -> Sequence[str]:
        """Every kas that says it holds a tunnel of the agent.

        Raises:
            RoutesUnavailableError: nobody knows now.
        """


class InMemoryAgentRoutes:
    """Implements `AgentRoutes` for the kas of one process, which share the object; a lone kas has nobody else.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._routes: dict[int, dict[str, float]] = {}

    async def publish(self, url: str, agent_ids: Iterable[int]) -> None:
        leaves_at = self._clock() + ROUTE_TTL_S
        for agent_id in agent_ids:
            self._routes.setdefault(agent_id, {})[url] = leaves_at

    async def withdraw(self, url: str, agent_ids: Iterable[int]) -> None:
        for agent_id in agent_ids:
            routes = self._routes.get(agent_id, {})
            routes.pop(url, None)
            if not routes:
                self._routes.pop(agent_id, None)

    async def urls(self, agent_id: int) -> Sequence[str]:
        now = self._clock()
        return sorted(url for url, leaves_at in self._routes.get(agent_id, {}).items() if leaves_at > now)
