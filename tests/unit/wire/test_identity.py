"""Impersonation headers as the API server reads them."""

from __future__ import annotations

import pytest

from kasbah.wire.identity import AsAgent, AsUser, InvalidIdentityError, impersonation_headers


def test_the_agent_itself_impersonates_nobody():
    assert impersonation_headers(AsAgent()) == ()


def test_a_user_is_sent_in_the_order_the_server_documents():
    identity = AsUser(
        username="gitlab:user:mia",
        groups=("gitlab:user", "gitlab:project_role:40:developer"),
        uid="u1",
        extra=(("agent.gitlab.com/id", ("7",)),),
    )
    assert impersonation_headers(identity) == (
        (b"Impersonate-User", b"gitlab:user:mia"),
        (b"Impersonate-Group", b"gitlab:user"),
        (b"Impersonate-Group", b"gitlab:project_role:40:developer"),
        (b"Impersonate-Uid", b"u1"),
        (b"Impersonate-Extra-agent.gitlab.com%2Fid", b"7"),
    )


def test_a_percent_sign_in_an_extra_key_is_escaped_itself():
    headers = impersonation_headers(AsUser(username="u", extra=(("a%/Ü", ("v",)),)))
    assert headers[1][0] == b"Impersonate-Extra-a%25%2F%C3%BC"


def test_nobody_cannot_be_encoded():
    with pytest.raises(InvalidIdentityError):
        AsUser(username="")


@pytest.mark.parametrize("value", ["a\r\nImpersonate-Group: system:masters", "a\0", " a", "ü", "a\n"])
def test_a_value_that_is_no_header_is_refused(value: str):
    with pytest.raises(InvalidIdentityError):
        AsUser(username="mia", groups=(value,))
