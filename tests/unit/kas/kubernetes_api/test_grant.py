from __future__ import annotations

import pytest

from kasbah.kas.kubernetes_api import grant
from kasbah.wire.identity import AsAgent, AsUser
from kasbah.wire.kubernetes_api import decode_opening
from tests.doubles.people import access_of_mia

GRANT = grant.issue("g1", access_of_mia(), deadline_ms=5000)
ALICE = AsUser(username="alice")


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


@pytest.mark.parametrize(("open_ended", "deadline_ms"), [(False, 5000), (True, 0)])
def test_whoever_acts_as_the_agent_may_be_somebody_else(open_ended, deadline_ms):
    envelope, _ = decode_opening(GRANT.envelope_for(upgrade="", open_ended=open_ended, impersonation=ALICE))
    assert (envelope.identity, envelope.deadline_ms) == (ALICE, deadline_ms)


def test_whoever_is_impersonated_already_stays_who_they_are():
    bob = AsUser(username="bob")
    granted = grant.issue("g2", access_of_mia(bob), deadline_ms=1)
    envelope, _ = decode_opening(granted.envelope_for(upgrade="", open_ended=False, impersonation=ALICE))
    assert not granted.may_impersonate
    assert envelope.identity == bob
