"""Which failures may heal by waiting."""

from __future__ import annotations

from kasbah.kas.hub_client import errors


def test_only_an_absent_git_side_is_worth_another_try():
    assert errors.HubUnavailableError("x").retryable
    assert not errors.HubForbiddenError("x").retryable
