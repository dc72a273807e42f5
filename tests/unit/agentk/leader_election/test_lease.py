"""What is read of a Lease and written into it."""

from __future__ import annotations

from datetime import UTC, datetime

from kasbah.agentk.leader_election import lease
from kasbah.agentk.leader_election.lease import LeaseRecord

RECORD = LeaseRecord(holder="agentk-0", duration_s=15, acquired="a", renewed="r", transitions=3)


def test_what_is_written_is_read_again():
    assert lease.read(lease.new("agent-7-lock", RECORD)) == RECORD


def test_a_lease_that_nobody_ever_held_is_free():
    nobody = LeaseRecord(holder="", duration_s=0, acquired="", renewed="", transitions=0)
    assert lease.read({"metadata": {"name": "x"}}) == nobody
    assert lease.read({"spec": {"holderIdentity": None}}) == nobody


def test_what_others_wrote_stays():
    theirs = {"metadata": {"resourceVersion": "7", "labels": {"a": "b"}}, "spec": {"strategy": "Oldest"}}
    ours = lease.with_record(theirs, RECORD)
    assert ours["metadata"] == theirs["metadata"]
    assert ours["spec"]["strategy"] == "Oldest"
    assert lease.read(ours) == RECORD


def test_times_are_kubernetes_micro_times():
    assert lease.timestamp(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)) == "2026-01-02T03:04:05.000006Z"
