"""What a handler knows about the call of an agent that it answers, whatever carried it."""

from __future__ import annotations

from dataclasses import dataclass, field

from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kit.secrets import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCall:
    """One call of an authenticated agent."""

    agent: AgentInfo
    agent_token: Secret
    connection_id: int
    """The pod's id, chosen by agentk when its process started; over gRPC, where it says none, one of ours."""
    connection: object = field(default=None, repr=False, compare=False)
    """What it came over: good for asking whether two calls share it, and for nothing else."""
