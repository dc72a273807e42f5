"""What the tracker makes of what it reads; how it behaves over a real Redis is in tests/integration."""

from __future__ import annotations

import pytest

from kasbah.kas.agent_tracker import redis
from kasbah.kas.agent_tracker.tracker import ConnectedAgent

RECORD = b'{"agent_id": 7, "project_id": 31, "connection_id": 1}'


def test_a_pod_is_read_until_it_is_forgotten():
    text = b"1660.5 1000.25 " + RECORD
    pod = ConnectedAgent(agent_id=7, project_id=31, connection_id=1, connected_at=1000.25)
    assert redis._parse(text, 1660.0) == pod
    assert redis._parse(text, 1660.5) is None


@pytest.mark.parametrize(
    "text", [b"", b"1", b"1 2", b"x 2 " + RECORD, b"9 2 {}", b"9 2 [", b"9 \xff " + RECORD]
)
def test_anything_else_is_no_pod(text: bytes):
    assert redis._parse(text, 1.0) is None
