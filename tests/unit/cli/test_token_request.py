"""The small REST call: its errors say whose fault it was. (The call itself is tested over loopback.)"""

from __future__ import annotations

import json

import pytest

from kasbah.cli import token_request
from kasbah.cli.errors import UnreachableError
from kasbah.cli.hosts import Host
from kasbah.kit.secrets import Secret


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"message": "401 Unauthorized"}, "Unauthorized"),
        ({"error": "name is missing"}, "name is missing"),
        ({"error": "invalid_token", "error_description": "Token was revoked."}, "Token was revoked."),
        (
            {"message": '400 Bad request - ["Name is too long", "Name is odd"]'},
            "Name is too long, Name is odd",
        ),
        ({"message": "400 Bad request - no more tokens"}, "no more tokens"),
        ({"message": {"name": ["is taken", "is odd"]}}, "name is taken, is odd"),
        ({"message": ["a", "b"]}, "a, b"),
        ({"message": "the token glpat-secret is no good"}, "the token *** is no good"),
        ({"message": "x" * 1000}, "x" * 256),
        ({}, ""),
        ([], ""),
    ],
)
def test_the_reason_is_found_in_each_of_gitlabs_error_bodies(body, reason):
    assert token_request.message_of(json.dumps(body).encode()) == reason


@pytest.mark.parametrize("content", [b"", b"<html>", b"[" * 100_000])
def test_a_body_that_is_not_json_gives_no_reason(content):
    assert token_request.message_of(content) == ""


def test_a_host_that_is_away_is_unreachable():
    host = Host("http://127.0.0.1:1", Secret("glpat-x"))

    with pytest.raises(UnreachableError, match=r"cannot reach http://127\.0\.0\.1:1"):
        token_request.call(host, "GET", "/user")


def test_a_ruby_list_that_is_not_one_is_shown_as_it_stands():
    assert (
        token_request.message_of(b'{"message": "400 Bad request - [\\"a\\" nil \\"b\\"]"}') == '["a" nil "b"]'
    )
