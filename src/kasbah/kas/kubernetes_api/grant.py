"""A grant: the proof that a principal may use an agent, and the only key to a stream of its tunnel.

Made by `authorizer` and nowhere else. What agentk must know of it is encoded once and
put before every request of the grant.
"""

from __future__ import annotations

from dataclasses import dataclass

from kasbah.wire.identity import Identity
from kasbah.wire.kubernetes_api import RequestEnvelope, encode_envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    grant_id: str
    agent_id: int
    principal: str
    """Who asks, for limits and logs: `user:<id>`."""
    username: str
    identity: Identity
    """Whom the cluster will see."""
    envelope: bytes
    """For requests whose answer must begin within the deadline."""
    open_ended_envelope: bytes
    """For requests without a deadline."""

    def envelope_for(self, *, upgrade: str, open_ended: bool) -> bytes:
        """What goes before the request's head on the stream."""
        if upgrade:
            return _envelope(self.grant_id, self.agent_id, self.identity, upgrade=upgrade)
        return self.open_ended_envelope if open_ended else self.envelope


def issue(
    grant_id: str, *, agent_id: int, principal: str, username: str, identity: Identity, deadline_ms: int
) -> Grant:
    """A new grant; only the authoriser may say this."""
    return Grant(
        grant_id=grant_id,
        agent_id=agent_id,
        principal=principal,
        username=username,
        identity=identity,
        envelope=_envelope(grant_id, agent_id, identity, deadline_ms=deadline_ms),
        open_ended_envelope=_envelope(grant_id, agent_id, identity),
    )


def _envelope(
    grant_id: str, agent_id: int, identity: Identity, *, upgrade: str = "", deadline_ms: int = 0
) -> bytes:
    return encode_envelope(
        RequestEnvelope(
            agent_id=agent_id, grant_id=grant_id, identity=identity, upgrade=upgrade, deadline_ms=deadline_ms
        )
    )
