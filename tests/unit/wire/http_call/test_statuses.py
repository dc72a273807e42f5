"""Resets and statuses, through one table."""

from __future__ import annotations

import pytest

from kasbah.wire.http_call.statuses import reset_of, status_of
from kasbah.wire.rpc import StatusCode
from kasbah.wire.stream import ResetCode

NESTED = "nested impersonation is not supported - agent is already configured to impersonate an identity"


@pytest.mark.parametrize(
    ("code", "status", "back"),
    [
        (ResetCode.CANCELLED, StatusCode.CANCELLED, ResetCode.CANCELLED),
        (ResetCode.REFUSED, StatusCode.UNAVAILABLE, ResetCode.CONNECTION_LOST),
        (ResetCode.UPSTREAM_UNREACHABLE, StatusCode.UNAVAILABLE, ResetCode.UPSTREAM_UNREACHABLE),
        (ResetCode.UPSTREAM_FAILED, StatusCode.UNAVAILABLE, ResetCode.UPSTREAM_UNREACHABLE),
        (ResetCode.DEADLINE, StatusCode.DEADLINE_EXCEEDED, ResetCode.DEADLINE),
        (ResetCode.PROTOCOL, StatusCode.INVALID_ARGUMENT, ResetCode.PROTOCOL),
        (ResetCode.INTERNAL, StatusCode.INTERNAL, ResetCode.INTERNAL),
        (ResetCode.CONNECTION_LOST, StatusCode.UNAVAILABLE, ResetCode.CONNECTION_LOST),
        (ResetCode.FORBIDDEN, StatusCode.PERMISSION_DENIED, ResetCode.FORBIDDEN),
        (1014, StatusCode.INTERNAL, ResetCode.INTERNAL),
    ],
)
def test_what_went_wrong_survives_the_wire(code: int, status: StatusCode, back: ResetCode):
    said, text = status_of(code, "why")
    assert said is status
    assert reset_of(said, text) == (back, "why")


def test_every_reset_has_its_status():
    for code in ResetCode:
        assert (status_of(code, "")[0] is StatusCode.INTERNAL) is (code is ResetCode.INTERNAL)


@pytest.mark.parametrize("status", list(StatusCode))
def test_every_status_has_its_reset(status: StatusCode):
    assert reset_of(status, "why")[1] == "why"


def test_gitlabs_agent_says_unavailable_to_whatever_failed_behind_it():
    assert reset_of(StatusCode.UNAVAILABLE, "gRPC -> HTTP: dial tcp: refused") == (
        ResetCode.UPSTREAM_UNREACHABLE,
        "dial tcp: refused",
    )
    assert reset_of(StatusCode.UNAVAILABLE, f"gRPC -> HTTP: {NESTED}") == (ResetCode.FORBIDDEN, NESTED)
    assert status_of(ResetCode.FORBIDDEN, NESTED) == (StatusCode.UNAVAILABLE, f"gRPC -> HTTP: {NESTED}")
    assert reset_of(StatusCode.UNAVAILABLE, "transport is closing")[0] is ResetCode.CONNECTION_LOST
