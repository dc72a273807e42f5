"""The record of a connected pod."""

from __future__ import annotations

import pytest

from kasbah.kas.agent_tracker.tracker import ConnectedAgent


def test_a_record_cannot_be_changed():
    agent = ConnectedAgent(agent_id=7, project_id=31, connection_id=1)
    with pytest.raises(AttributeError):
        agent.version = "v2"  # type: ignore[misc]
