"""What the kas of one deployment know together; a kas that is alone keeps it in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from kasbah.kas.agent_tracker.memory import InMemoryAgentTracker
from kasbah.kas.agent_tracker.tracker import AgentTracker
from kasbah.kas.notifications.pushes import GitPushes
from kasbah.kas.private_api.routes import AgentRoutes, InMemoryAgentRoutes


async def _nothing() -> None:
    await asyncio.Event().wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One kas' view of it."""

    tracker: AgentTracker = field(default_factory=InMemoryAgentTracker)
    pushes: GitPushes = field(default_factory=GitPushes)
    routes: AgentRoutes = field(default_factory=InMemoryAgentRoutes)
    run: Callable[[], Coroutine[object, object, None]] = _nothing
    """Keeps it going until cancelled; what uses it must have ended before."""
    on_back: list[Callable[[], None]] = field(default_factory=list)
    """Called when the store is back and may have forgotten everything."""
