"""What is true of dictionaries alone; how every tracker behaves is in tests/integration/kas/agent_tracker."""

from __future__ import annotations

import pytest

from kasbah.kas.agent_tracker.memory import InMemoryAgentTracker
from kasbah.kas.agent_tracker.tracker import FORGET_AFTER_S, ConnectedAgent


@pytest.mark.asyncio
async def test_nothing_is_left_of_agents_that_left_or_fell_silent():
    now = 1000.0
    tracker = InMemoryAgentTracker(lambda: now)
    for agent_id in (7, 8):
        await tracker.register(ConnectedAgent(agent_id=agent_id, project_id=31, connection_id=1))
    await tracker.unregister(7, 1)
    now += FORGET_AFTER_S
    assert await tracker.count() == 0
    assert tracker._pods == {}
