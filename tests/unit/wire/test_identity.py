"""Impersonation headers as the API server reads them."""

from __future__ import annotations

import pytest

from kasbah.wire.identity import (
    AsAgent,
    AsUser,
    InvalidIdentityError,
    impersonation_headers,
    named_identity,
)


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


def test_nobody_is_named_by_other_headers():
    assert named_identity([("accept", "*/*"), ("x-impersonate-user", "root")]) is None


@pytest.mark.parametrize(
    "identity",
    [
        AsUser(username="alice"),
        AsUser(username="a", groups=("x", "y"), uid="7"),
        AsUser(username="a", extra=(("example.com/reason", ("one", "two")), ("scopes", ("s",)))),
        AsUser(username="a", extra=(("50%", ("v",)), ("\u00fc", ("v",)))),
    ],
)
def test_what_is_sent_is_what_is_read(identity: AsUser):
    sent = [(name.decode().lower(), value.decode()) for name, value in impersonation_headers(identity)]
    assert named_identity(sent) == identity


@pytest.mark.parametrize(
    "headers",
    [
        [("impersonate-group", "a")],
        [("impersonate-extra-x", "a")],
        [("impersonate-user", "a"), ("impersonate-user", "b")],
        [("impersonate-user", "a"), ("impersonate-uid", "1"), ("impersonate-uid", "2")],
        [("impersonate-user", "")],
        [("impersonate-user", "a"), ("impersonate-extra-", "x")],
        [("impersonate-user", "a"), ("impersonate-extra-%ff", "x")],
        [("impersonate-user", "a"), ("impersonate-other", "x")],
        [("impersonate-user", "a\r\nx: y")],
    ],
)
def test_headers_that_name_nobody_or_several_are_refused(headers: list[tuple[str, str]]):
    with pytest.raises(InvalidIdentityError):
        named_identity(headers)
