"""Why a stream was reset, as a call's status, and back.

GitLab's agentk says UNAVAILABLE with a prefix for whatever failed between it and the API server, nested impersonation
too; without the prefix it was a hop on the way that failed.
"""

from __future__ import annotations

from typing import Final

from kasbah.wire.rpc import StatusCode
from kasbah.wire.stream import ResetCode

PREFIX: Final = "gRPC -> HTTP: "
_NESTED: Final = "nested impersonation"

_STATUS: Final[dict[int, StatusCode]] = {
    ResetCode.CANCELLED: StatusCode.CANCELLED,
    ResetCode.REFUSED: StatusCode.UNAVAILABLE,
    ResetCode.UPSTREAM_UNREACHABLE: StatusCode.UNAVAILABLE,
    ResetCode.UPSTREAM_FAILED: StatusCode.UNAVAILABLE,
    ResetCode.DEADLINE: StatusCode.DEADLINE_EXCEEDED,
    ResetCode.PROTOCOL: StatusCode.INVALID_ARGUMENT,
    ResetCode.INTERNAL: StatusCode.INTERNAL,
    ResetCode.CONNECTION_LOST: StatusCode.UNAVAILABLE,
    ResetCode.FORBIDDEN: StatusCode.PERMISSION_DENIED,
}
_OF_THE_TUNNEL: Final = frozenset({ResetCode.REFUSED, ResetCode.CONNECTION_LOST})
_RESET: Final = {
    StatusCode.CANCELLED: ResetCode.CANCELLED,
    StatusCode.INVALID_ARGUMENT: ResetCode.PROTOCOL,
    StatusCode.DEADLINE_EXCEEDED: ResetCode.DEADLINE,
    StatusCode.PERMISSION_DENIED: ResetCode.FORBIDDEN,
    StatusCode.UNIMPLEMENTED: ResetCode.PROTOCOL,
}


def status_of(code: int, message: str) -> tuple[StatusCode, str]:
    """The status and text that a callee ends with when its stream is reset."""
    status = _STATUS.get(code, StatusCode.INTERNAL)
    if code == ResetCode.FORBIDDEN and message.startswith(_NESTED):
        status = StatusCode.UNAVAILABLE
    return status, message if code in _OF_THE_TUNNEL else PREFIX + message


def reset_of(status: StatusCode, message: str) -> tuple[ResetCode, str]:
    """The reset and text that a caller's stream ends with when its call fails."""
    text = message.removeprefix(PREFIX)
    if status is not StatusCode.UNAVAILABLE:
        return _RESET.get(status, ResetCode.INTERNAL), text
    if text is message:
        return ResetCode.CONNECTION_LOST, text
    return ResetCode.FORBIDDEN if text.startswith(_NESTED) else ResetCode.UPSTREAM_UNREACHABLE, text
