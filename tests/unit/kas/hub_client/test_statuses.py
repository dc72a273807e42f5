"""Refusals, as agents hear them."""

from __future__ import annotations

import pytest

from kasbah.kas.hub_client import errors
from kasbah.kas.hub_client.statuses import status_of
from kasbah.wire.rpc import StatusCode


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (errors.HubUnauthenticatedError("x"), StatusCode.UNAUTHENTICATED, "unauthenticated"),
        (errors.HubForbiddenError("x"), StatusCode.PERMISSION_DENIED, "forbidden"),
        (errors.HubNotFoundError("x"), StatusCode.NOT_FOUND, "project not found"),
        (errors.RefNotFoundError("x"), StatusCode.NOT_FOUND, "project not found"),
        (errors.HubUnavailableError("x"), StatusCode.UNAVAILABLE, "unavailable"),
        (errors.HubContractError("x"), StatusCode.UNAVAILABLE, "unavailable"),
    ],
)
def test_a_refusal_has_gitlabs_status_and_words(error, code, message):
    status = status_of(error, "project")
    assert (status.code, str(status)) == (code, message)
