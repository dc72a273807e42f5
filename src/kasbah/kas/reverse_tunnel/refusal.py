"""Why a token is not good, in the words of each protocol; one table for both."""

from __future__ import annotations

from dataclasses import dataclass

from kasbah.errors import PeerError
from kasbah.kas.hub_client.errors import HubForbiddenError, HubNotFoundError, HubUnauthenticatedError
from kasbah.wire.native_tunnel.frames import GoAwayCode
from kasbah.wire.rpc import StatusCode


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an agent is told."""

    reason: str
    """One of a few constant texts; it labels a metric, too."""
    status: StatusCode
    """Over gRPC."""
    go_away: GoAwayCode
    """On the native tunnel."""

    @property
    def is_final(self) -> bool:
        """The Git side has decided; otherwise it could not be asked."""
        return self.status is not StatusCode.UNAVAILABLE


UNAUTHENTICATED = Refusal("unauthenticated", StatusCode.UNAUTHENTICATED, GoAwayCode.UNAUTHENTICATED)
FORBIDDEN = Refusal("forbidden", StatusCode.PERMISSION_DENIED, GoAwayCode.FORBIDDEN)
NOT_FOUND = Refusal("agent not found", StatusCode.NOT_FOUND, GoAwayCode.UNAUTHENTICATED)
UNAVAILABLE = Refusal("unavailable", StatusCode.UNAVAILABLE, GoAwayCode.UNAVAILABLE)
TOO_MANY_PODS = Refusal(
    "too many pods of this agent are connected",
    StatusCode.RESOURCE_EXHAUSTED,
    GoAwayCode.TOO_MANY_CONNECTIONS,
)


def refusal_of(error: PeerError) -> Refusal:
    """What the Git side's answer about a token means for who showed it."""
    match error:
        case HubUnauthenticatedError():
            return UNAUTHENTICATED
        case HubForbiddenError():
            return FORBIDDEN
        case HubNotFoundError():
            return NOT_FOUND
    return UNAVAILABLE
