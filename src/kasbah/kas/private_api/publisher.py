"""Publishes which agents are connected to this kas, as long as they are.

At the first tunnel of an agent, and again before the entry leaves. Withdrawn a few seconds after the last tunnel went,
because agents come back all the time; at once when this kas stops. What a store that is away did not hear is said
again until it has; a withdrawal it did not hear comes true by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from kasbah.kas.private_api.routes import REFRESH_S, AgentRoutes, RoutesUnavailableError

WITHDRAW_AFTER_S: Final = 5.0
STOP_S: Final = 5.0
"""How long withdrawing everything may take when this kas stops."""
_AGAIN_S: Final = 2.0
_AT_ONCE: Final = 500
"""Agents told of in one round trip."""


class RoutePublisher:
    """A `Presence` of the tunnel registry.

    Args:
        routes: where it is published.
        url: this kas' own.
        clock: monotonic seconds; the running loop's unless given.
    """

    def __init__(self, routes: AgentRoutes, url: str, clock: Callable[[], float] | None = None) -> None:
        self._routes = routes
        self._url = url
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._due: dict[int, float] = {}
        """When each connected agent is to be published next."""
        self._gone: dict[int, float] = {}
        """When each agent that went is to be withdrawn."""
        self._changed = asyncio.Event()
        self._withdraw_after_s = WITHDRAW_AFTER_S

    def agent_came(self, agent_id: int) -> None:
        if self._gone.pop(agent_id, None) is None:
            self._due[agent_id] = 0.0
            self._changed.set()

    def agent_went(self, agent_id: int) -> None:
        self._gone[agent_id] = self._clock() + self._withdraw_after_s
        self._changed.set()

    def say_again(self) -> None:
        """The store may have forgotten everything."""
        self._due = dict.fromkeys(self._due, 0.0)
        self._changed.set()

    def drain(self) -> None:
        """This kas stops: withdraw everything now, whatever still runs."""
        self._withdraw_after_s = 0.0
        self._gone = dict.fromkeys(self._due, self._clock())
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled; then withdraw everything."""
        try:
            while True:
                wait_s = await self.step()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._changed.wait()
        finally:
            with suppress(RoutesUnavailableError, TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self._withdraw(list(self._due))

    async def step(self) -> float:
        """Say what is due; how long until more is, in seconds."""
        self._changed.clear()
        now = self._clock()
        try:
            for some in _some(agent_id for agent_id, at in self._gone.items() if at <= now):
                await self._withdraw(some)
            for some in _some(agent_id for agent_id, at in self._due.items() if at <= now):
                await self._routes.publish(self._url, some)
                self._due |= {agent_id: now + REFRESH_S for agent_id in some if agent_id in self._due}
        except RoutesUnavailableError:
            return _AGAIN_S
        return max(min([*self._gone.values(), *self._due.values(), now + REFRESH_S]) - self._clock(), 0.0)

    async def _withdraw(self, agent_ids: list[int]) -> None:
        """Forgotten here first: one that comes back meanwhile is published anew, behind this."""
        for agent_id in agent_ids:
            self._gone.pop(agent_id, None)
            self._due.pop(agent_id, None)
        await self._routes.withdraw(self._url, agent_ids)


def _some(agent_ids: Iterable[int]) -> list[list[int]]:
    every = list(agent_ids)
    return [every[start : start + _AT_ONCE] for start in range(0, len(every), _AT_ONCE)]
