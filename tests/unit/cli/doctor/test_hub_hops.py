from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kasbah.cli.doctor import hub_hops
from kasbah.cli.doctor.hub_hops import judge_token
from kasbah.kit.doctor.check import FaultError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def token(**changes: Any) -> Any:
    return {"id": 1, "name": "laptop", "scopes": ["api"], "expires_at": None, "active": True} | changes


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({}, ""),
        ({"expires_at": "2027-01-01"}, ""),
        ({"expires_at": "2026-11-23"}, "hub-token-expires-soon"),
        ({"scopes": ["read_api", "k8s_proxy"]}, ""),
    ],
)
def test_a_good_token_says_its_scopes_and_its_end(changes: dict[str, Any], warning: str):
    finding = judge_token(token(**changes), NOW)
    assert finding.warning == warning
    assert "laptop" in finding.seen


def test_a_token_without_an_end_never_expires():
    assert judge_token(token(), NOW).seen == "the token 'laptop' has api; it never expires"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [({"active": False}, "hub-token-expired"), ({"scopes": ["read_api"]}, "hub-token-scope")],
)
def test_a_token_of_no_use_has_a_name(changes: dict[str, Any], fault: str):
    with pytest.raises(FaultError) as found:
        judge_token(token(**changes), NOW)
    assert found.value.fault == fault


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ("does not accept the token (Token is expired. You can)", "hub-token-expired"),
        ("does not accept the token (Token was revoked. You have)", "hub-token-revoked"),
        ("not allowed: The request requires higher privileges", "hub-token-scope"),
        ("does not accept the token (401 Unauthorized)", "hub-token-unknown"),
    ],
)
def test_why_the_hub_refuses_it_has_a_name(told: str, fault: str):
    assert hub_hops._token_refused(told).fault == fault
