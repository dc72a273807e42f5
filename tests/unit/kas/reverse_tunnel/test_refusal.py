from __future__ import annotations

import pytest

from kasbah.errors import PeerError
from kasbah.kas.hub_client.errors import (
    HubForbiddenError,
    HubNotFoundError,
    HubUnauthenticatedError,
    HubUnavailableError,
)
from kasbah.kas.reverse_tunnel.refusal import refusal_of
from kasbah.wire.native_tunnel.frames import GoAwayCode
from kasbah.wire.rpc import StatusCode


@pytest.mark.parametrize(
    ("error", "status", "code", "reason", "final"),
    [
        (
            HubUnauthenticatedError("401"),
            StatusCode.UNAUTHENTICATED,
            GoAwayCode.UNAUTHENTICATED,
            "unauthenticated",
            True,
        ),
        (HubForbiddenError("403"), StatusCode.PERMISSION_DENIED, GoAwayCode.FORBIDDEN, "forbidden", True),
        (HubNotFoundError("404"), StatusCode.NOT_FOUND, GoAwayCode.UNAUTHENTICATED, "agent not found", True),
        (HubUnavailableError("away"), StatusCode.UNAVAILABLE, GoAwayCode.UNAVAILABLE, "unavailable", False),
        (PeerError("what"), StatusCode.UNAVAILABLE, GoAwayCode.UNAVAILABLE, "unavailable", False),
    ],
)
def test_an_answer_about_a_token_has_its_words_in_both_protocols(error, status, code, reason, final):
    refusal = refusal_of(error)
    assert (refusal.status, refusal.go_away, refusal.reason) == (status, code, reason)
    assert refusal.is_final is final
