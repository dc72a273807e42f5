"""A connection of an agent's pod, as those who look after all of them see it: whatever it speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.reverse_tunnel.refusal import Refusal
from kasbah.kas.reverse_tunnel.registry import AgentTunnel
from kasbah.kit.secrets import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A token that was found good, and what it opened."""

    token: Secret
    agent: AgentInfo
    pod_id: int
    """agentk's own random number; over gRPC it says none with its connection, so it is ours."""
    tunnel: AgentTunnel


class PodConnection(Protocol):
    """What the server needs of a connection."""

    @property
    def transport_name(self) -> str:
        """`native`, `grpc` or `ws-tunnel`."""

    @property
    def peer(self) -> str:
        """The socket's address, for logs."""

    @property
    def since(self) -> float:
        """When its time to prove who it is began, by the loop's clock."""

    @property
    def failure(self) -> str:
        """Why it broke, when it did."""

    def welcome(self, admitted: Admitted) -> None:
        """A token it showed was found good: it is no stranger any more."""

    def retire(self, reason: str) -> None:
        """Take nothing new; what runs may finish, and then the connection closes."""

    def revoke(self, token: Secret, refusal: Refusal) -> None:
        """The token is no longer good: what runs under it ends now, and the connection closes."""

    def tick(self, now: float) -> None:
        """Once a second."""

    def close(self, reason: str) -> None:
        """Say goodbye and close; what still runs is cut."""

    def abort(self, reason: str) -> None:
        """Drop it, whatever it still holds."""
