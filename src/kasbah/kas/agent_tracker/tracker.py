"""What is remembered of a connected agent pod, and the interface of whatever remembers it.

Everything a pod says about itself is shown to people and never believed: it is cut to length and stripped of what
cannot be printed before it comes here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kasbah.errors import PeerError


class TrackerUnavailableError(PeerError):
    """The store of connected agents is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedAgent:
    """One pod of one agent."""

    agent_id: int
    project_id: int
    connection_id: int
    """The pod's own random number."""
    version: str = ""
    commit_id: str = ""
    pod_namespace: str = ""
    pod_name: str = ""
    kubernetes_version: str = ""
    connected_at: float = 0.0
    """Seconds since 1970 when this pod was first seen; set by the tracker."""


class AgentTracker(Protocol):
    """Remembers pods until they leave or have not been heard of for a while."""

    async def register(self, agent: ConnectedAgent) -> None:
        """The pod is there; `connected_at` of a known one stays.

        Raises:
            TrackerUnavailableError: it could not be remembered.
        """

    async def unregister(self, agent_id: int, connection_id: int) -> None:
        """The pod is gone; an unknown one is no error."""

    async def agent_connections(self, agent_id: int) -> list[ConnectedAgent]:
        """The agent's pods, the oldest first."""

    async def project_connections(self, project_id: int) -> list[ConnectedAgent]:
        """The pods of all agents of a project, the oldest first."""

    async def count(self) -> int:
        """How many agents have a pod."""
