"""The rules of an election: a record and a clock in, what to write out.

As Kubernetes' own controllers do it: nobody compares clocks. A follower counts from when it last *saw* the record
change, a leader from when it last began to renew. A leader gives up before a follower may take over, so there is
never more than one.
"""

from __future__ import annotations

from dataclasses import replace

from kasbah.agentk.leader_election.lease import LeaseRecord
from kasbah.agentk.leader_election.settings import LeaderElectionSettings


class Election:
    """One pod's view. `now` is monotonic and in seconds, `stamp` is the time of day as it is written down.

    Args:
        identity: ours; no other pod's.
    """

    def __init__(self, identity: str, settings: LeaderElectionSettings) -> None:
        self._identity = identity
        self._settings = settings
        self._record: LeaseRecord | None = None
        self._seen_at = 0.0
        self._renewed_at = float("-inf")

    @property
    def holder(self) -> str:
        """Who holds the lease, as far as we have seen; empty: nobody."""
        return self._record.holder if self._record is not None else ""

    @property
    def is_leader(self) -> bool:
        """Whether the lease is ours, as far as we have seen."""
        return self.holder == self._identity

    @property
    def leads_until(self) -> float:
        """When we must have stopped leading unless we renew."""
        return self._renewed_at + self._settings.renew_deadline_s

    def seen(self, record: LeaseRecord | None, now: float) -> None:
        """That is in the lease; None: there is no lease."""
        if record != self._record:
            self._record, self._seen_at = record, now

    def claim(self, now: float, stamp: str) -> LeaseRecord | None:
        """What to write to get or to keep the lease; None: somebody else has it."""
        settings, old = self._settings, self._record
        ours = LeaseRecord(
            holder=self._identity,
            duration_s=settings.lease_duration_s,
            acquired=stamp,
            renewed=stamp,
            transitions=0,
        )
        if old is None:
            return ours
        if old.holder == self._identity:
            return replace(ours, acquired=old.acquired, transitions=old.transitions)
        if old.holder and now < self._seen_at + old.duration_s:
            return None
        return replace(ours, transitions=old.transitions + 1)

    def written(self, record: LeaseRecord, began: float) -> None:
        """The API server has taken our claim; the attempt began then."""
        self._record, self._seen_at, self._renewed_at = record, began, began

    def farewell(self, stamp: str) -> LeaseRecord | None:
        """What to write so that the next leader need not wait; None: there is nothing to give back."""
        if self._record is None or not self.is_leader:
            return None
        return replace(self._record, holder="", duration_s=1, acquired=stamp, renewed=stamp)
