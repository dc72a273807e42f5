"""What is remembered of a connected agent pod, and the interface of whatever remembers it.

Everything a pod says about itself is shown to people and never believed: it is cut to length and stripped of what
cannot be printed before it comes here. A pod that is not heard of again is forgotten; nothing but the pod's own calls
keeps it remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from kasbah.errors import PeerError

FORGET_AFTER_S: Final = 11 * 60
"""Pods register every five minutes; one lost call is no absence."""
MAX_PODS_PER_AGENT: Final = 20


class TrackerUnavailableError(PeerError):
    """The store of connected agents is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterVersion:
    """What the pod's cluster says at `/version`."""

    major: str = ""
    minor: str = ""
    git_version: str = ""
    platform: str = ""


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
    kubernetes_version: ClusterVersion = ClusterVersion()
    connected_at: float = 0.0
    """Seconds since 1970 when this pod was first seen; set by the tracker."""


class AgentTracker(Protocol):
    """Remembers pods until they leave or have not been heard of for a while."""

    async def register(self, agent: ConnectedAgent) -> None:
        """The pod is there; `connected_at` of a known one stays. A store that is away hears of it when it is back.

        A token that registers pod after pod pushes out the pods of its own agent, the longest silent first.
        """

    async def unregister(self, agent_id: int, connection_id: int) -> None:
        """The pod is gone; an unknown one is no error, and a store that is away forgets it by itself."""

    async def agent_connections(self, *agent_ids: int) -> list[ConnectedAgent]:
        """The pods of these agents, the oldest first.

        Raises:
            TrackerUnavailableError: nobody knows now.
        """

    async def project_connections(self, *project_ids: int) -> list[ConnectedAgent]:
        """The pods of all agents of these projects, the oldest first.

        Raises:
            TrackerUnavailableError: nobody knows now.
        """

    async def count(self) -> int:
        """How many agents have a pod.

        Raises:
            TrackerUnavailableError: nobody knows now.
        """

    async def count_by_version(self) -> Mapping[str, int]:
        """How many pods run each version of agentk.

        Raises:
            TrackerUnavailableError: nobody knows now.
        """


def oldest_first(agents: Iterable[ConnectedAgent]) -> list[ConnectedAgent]:
    """In the order in which they came."""
    return sorted(agents, key=lambda agent: (agent.connected_at, agent.agent_id, agent.connection_id))
