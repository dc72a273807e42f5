"""What a module of agentk is: a name, a check of the configuration, and a life.

The configuration comes from kas and changes while the agent runs. A module gets the newest whole value and reacts by
comparing; values that were overtaken before it looked are never seen. An error out of `run`
ends the process, and Kubernetes starts it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, Protocol, TypeVar

from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration

T = TypeVar("T")


class LatestValue(Generic[T]):
    """A slot that one side fills and others watch; holds one value, so nothing can pile up."""

    def __init__(self) -> None:
        self._value: T | None = None
        self._version = 0
        self._changed = asyncio.Event()

    def put(self, value: T) -> None:
        """Replace the value, whether or not anybody saw the last one."""
        self._value = value
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[T]:
        """The value now, if there is one, and then the newest each time it has changed; never ends by itself."""
        seen = 0
        while True:
            while self._version == seen:
                await self._changed.wait()
            seen = self._version
            yield self._value  # type: ignore[misc]  # there has been a put


class Module(Protocol):
    """One feature of the agent."""

    @property
    def name(self) -> str:
        """GitLab's name of it, as logs show it."""

    @property
    def leader_only(self) -> bool:
        """Whether only one of the agent's pods may run it: the one that leads."""

    def validate(self, configuration: AgentConfiguration) -> None:
        """Check the module's part before any module gets the configuration.

        Raises:
            UserError: it cannot be used; the whole configuration is rejected and the last good one stays.
        """

    async def run(self, configurations: LatestValue[AgentConfiguration]) -> None:
        """Work until cancelled."""
