"""A grant: the proof that a principal may use an agent, and the only key to a stream of its tunnel.

Made by `authorizer` and nowhere else. What agentk must know of it is encoded once and
put before every request of the grant.
"""

from __future__ import annotations

from dataclasses import dataclass

from kasbah.kas.kubernetes_api.access import Access
from kasbah.wire.identity import AsAgent, Identity
from kasbah.wire.kubernetes_api import RequestEnvelope, encode_envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    grant_id: str
    agent_id: int
    principal: str
    """Who asks, for limits and logs: `user:<id>`, or `ci_user:<id>` for the jobs of a person."""
    access: Access
    envelope: bytes
    """For requests whose answer must begin within the deadline."""
    open_ended_envelope: bytes
    """For requests without a deadline."""
    deadline_ms: int

    @property
    def identity(self) -> Identity:
        """Whom the cluster will see."""
        return self.access.identity

    @property
    def may_impersonate(self) -> bool:
        """Whether the client may name whom it acts as: only where nobody else has."""
        return isinstance(self.access.identity, AsAgent)

    def envelope_for(self, *, upgrade: str, open_ended: bool, impersonation: Identity | None = None) -> bytes:
        """What goes before the request's head on the stream; only where `may_impersonate` is an impersonation taken."""
        if upgrade or impersonation is not None:
            identity = impersonation if impersonation is not None and self.may_impersonate else self.identity
            deadline_ms = 0 if upgrade or open_ended else self.deadline_ms
            return _envelope(self.grant_id, self.agent_id, identity, upgrade=upgrade, deadline_ms=deadline_ms)
        return self.open_ended_envelope if open_ended else self.envelope


def issue(grant_id: str, access: Access, *, deadline_ms: int) -> Grant:
    """A new grant; only the authoriser may say this."""
    return Grant(
        grant_id=grant_id,
        agent_id=access.agent_id,
        principal=access.principal,
        access=access,
        envelope=_envelope(grant_id, access.agent_id, access.identity, deadline_ms=deadline_ms),
        open_ended_envelope=_envelope(grant_id, access.agent_id, access.identity),
        deadline_ms=deadline_ms,
    )


def _envelope(
    grant_id: str, agent_id: int, identity: Identity, *, upgrade: str = "", deadline_ms: int = 0
) -> bytes:
    return encode_envelope(
        RequestEnvelope(
            agent_id=agent_id, grant_id=grant_id, identity=identity, upgrade=upgrade, deadline_ms=deadline_ms
        )
    )
