"""A kas that is alone."""

from __future__ import annotations

from kasbah.kas.agent_tracker.memory import InMemoryAgentTracker
from kasbah.kas.deployment import Deployment


def test_a_kas_that_is_alone_remembers_for_itself():
    one, two = Deployment(), Deployment()
    assert isinstance(one.tracker, InMemoryAgentTracker)
    assert one.tracker is not two.tracker
    assert one.on_back is not two.on_back
