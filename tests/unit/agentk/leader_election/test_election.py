"""The rules of an election, without an API server and without waiting."""

from __future__ import annotations

from dataclasses import replace

from kasbah.agentk.leader_election.election import Election
from kasbah.agentk.leader_election.lease import LeaseRecord
from kasbah.agentk.leader_election.settings import LeaderElectionSettings

SETTINGS = LeaderElectionSettings(lease_duration_s=15, renew_deadline_s=10, retry_s=2)
THEIRS = LeaseRecord(holder="other", duration_s=15, acquired="t0", renewed="t0", transitions=4)


def election() -> Election:
    return Election("me", SETTINGS)


def won(at: float = 100) -> Election:
    winner = election()
    winner.seen(None, at)
    claim = winner.claim(at, "now")
    assert claim is not None
    winner.written(claim, at)
    return winner


def test_whoever_finds_no_lease_makes_one():
    one = election()
    one.seen(None, 0)
    assert one.claim(0, "now") == LeaseRecord(
        holder="me", duration_s=15, acquired="now", renewed="now", transitions=0
    )


def test_a_claim_leads_only_once_it_is_written():
    one = election()
    one.seen(None, 0)
    one.claim(0, "now")
    assert not one.is_leader
    assert won().is_leader


def test_a_lease_counts_from_when_it_was_seen_and_not_from_what_it_says():
    one = election()
    one.seen(replace(THEIRS, renewed="1999"), 100)
    assert one.claim(114.9, "now") is None
    one.seen(replace(THEIRS, renewed="2999"), 114.9)  # it was renewed, whatever its writer's clock says
    assert one.claim(129.8, "now") is None
    assert one.claim(129.9, "now") is not None


def test_seeing_the_same_again_is_no_renewal():
    one = election()
    one.seen(THEIRS, 100)
    one.seen(THEIRS, 114)
    assert one.claim(115, "now") is not None


def test_whoever_takes_over_counts_one_more_leader():
    one = election()
    one.seen(THEIRS, 0)
    claim = one.claim(15, "now")
    assert claim is not None
    assert (claim.holder, claim.transitions, claim.acquired) == ("me", 5, "now")


def test_a_lease_that_was_given_back_is_free_at_once():
    one = election()
    one.seen(replace(THEIRS, holder="", duration_s=1), 0)
    claim = one.claim(0, "now")
    assert claim is not None
    assert claim.transitions == 5


def test_a_leader_renews_and_keeps_since_when_it_leads():
    leader = won()
    claim = leader.claim(102, "later")
    assert claim is not None
    assert (claim.acquired, claim.renewed, claim.transitions) == ("now", "later", 0)


def test_a_leader_must_stop_before_anybody_may_take_over():
    leader = won(at=100)
    assert leader.leads_until == 110
    follower = election()
    follower.seen(replace(THEIRS, holder="me2"), 100)
    assert follower.claim(leader.leads_until, "now") is None


def test_a_leader_that_sees_somebody_else_leads_no_more():
    leader = won()
    leader.seen(THEIRS, 101)
    assert (leader.is_leader, leader.holder) == (False, "other")
    assert leader.claim(102, "now") is None


def test_only_a_leader_has_something_to_give_back():
    assert election().farewell("now") is None
    farewell = won().farewell("bye")
    assert farewell is not None
    assert (farewell.holder, farewell.duration_s, farewell.renewed) == ("", 1, "bye")
