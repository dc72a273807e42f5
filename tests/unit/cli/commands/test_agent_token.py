"""`kasbah agent token …`."""

from __future__ import annotations


def test_a_token_is_created_listed_and_revoked(kasbah):
    kasbah.gitlab.add_agent("prod")

    assert kasbah("agent", "token", "create", "prod", "-p", "31", "--description", "spare") == 0
    assert kasbah.out == "glagent-new\n"
    assert kasbah("agent", "token", "list", "prod", "-p", "31") == 0
    assert "spare" in kasbah.out
    assert kasbah("agent", "token", "revoke", "prod", "1", "-p", "31", "--yes") == 0
    assert kasbah.gitlab.tokens == {}


def test_a_third_token_is_refused_with_the_hosts_reason(kasbah):
    kasbah.gitlab.add_agent("prod")
    kasbah.gitlab.tokens = {1: {"id": 1, "name": "a"}, 2: {"id": 2, "name": "b"}}

    assert kasbah("agent", "token", "create", "prod", "-p", "31") == 1
    assert "only two active tokens" in kasbah.err


def test_revoking_asks_first(kasbah):
    kasbah.gitlab.add_agent("prod")
    kasbah.gitlab.tokens = {1: {"id": 1, "name": "a"}}
    kasbah.typed = "n\n"

    assert kasbah("agent", "token", "revoke", "prod", "1", "-p", "31") == 2
    assert "Revoke the token 1 of the agent prod? [y/N]" in kasbah.err
    assert kasbah.gitlab.tokens
