from __future__ import annotations

from kasbah.agentk.leader_election.settings import LeaderElectionSettings


def test_a_leader_gives_up_before_a_follower_may_take_over():
    settings = LeaderElectionSettings()
    assert settings.retry_s < settings.renew_deadline_s < settings.lease_duration_s
