"""The status an agent hears when the Git side refuses."""

from __future__ import annotations

from kasbah.kas.hub_client.errors import (
    HubError,
    HubForbiddenError,
    HubNotFoundError,
    HubUnauthenticatedError,
)
from kasbah.wire.rpc import RpcError, StatusCode


def status_of(error: HubError, what: str) -> RpcError:
    """In GitLab's words.

    Args:
        error: how asking for `what` failed.
        what: `agent` or `project`.
    """
    match error:
        case HubUnauthenticatedError():
            return RpcError(StatusCode.UNAUTHENTICATED, "unauthenticated")
        case HubForbiddenError():
            return RpcError(StatusCode.PERMISSION_DENIED, "forbidden")
        case HubNotFoundError():
            return RpcError(StatusCode.NOT_FOUND, f"{what} not found")
    return RpcError(StatusCode.UNAVAILABLE, "unavailable")
