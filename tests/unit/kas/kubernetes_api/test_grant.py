from __future__ import annotations

import pytest

from kasbah.kas.kubernetes_api import grant
from kasbah.wire.identity import AsAgent
from kasbah.wire.kubernetes_api import decode_opening

GRANT = grant.issue(
    "g1", agent_id=7, principal="user:4", username="mia", identity=AsAgent(), deadline_ms=5000
)


@pytest.mark.parametrize(
    ("upgrade", "open_ended", "deadline_ms"), [("", False, 5000), ("", True, 0), ("websocket", True, 0)]
)
def test_an_envelope_names_the_agent_the_grant_and_how_long_the_answer_may_take(
    upgrade, open_ended, deadline_ms
):
    opening = GRANT.envelope_for(upgrade=upgrade, open_ended=open_ended) + b"head"
    envelope, head = decode_opening(opening)
    assert (envelope.agent_id, envelope.grant_id, envelope.identity) == (7, "g1", AsAgent())
    assert (envelope.upgrade, envelope.deadline_ms, head) == (upgrade, deadline_ms, b"head")
