"""`kasbah token …`."""

from __future__ import annotations

import re


def test_a_token_of_ones_own_is_shown_once(kasbah):
    assert kasbah("token", "create", "laptop") == 0

    assert kasbah.out == "glpat-new\n"
    method, path, body = kasbah.gitlab.requests[-1]
    assert (method, path) == ("POST", "/user/personal_access_tokens")
    assert (body["name"], body["scopes"]) == ("laptop", ["k8s_proxy"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", body["expires_at"])


def test_an_administrator_makes_tokens_for_others(kasbah):
    scopes = ["--scope", "api", "--scope", "read_user"]

    assert kasbah("token", "create", "ci", "--user", "mia", *scopes) == 0
    assert kasbah.gitlab.requests[-1][1] == "/users/4/personal_access_tokens"
    assert kasbah.gitlab.requests[-1][2]["scopes"] == ["api", "read_user"]


def test_a_token_for_a_file_is_not_shown(kasbah, tmp_path):
    assert kasbah("token", "create", "laptop", "--token-file-out", str(tmp_path / "t"), "-o", "json") == 0

    assert "glpat" not in kasbah.out
    assert (tmp_path / "t").read_text() == "glpat-new\n"


def test_tokens_are_listed_and_revoked(kasbah):
    kasbah("token", "create", "laptop")

    assert kasbah("token", "list") == 0
    assert "laptop" in kasbah.out
    assert kasbah("token", "revoke", "1", "--yes") == 0
    assert kasbah.gitlab.access_tokens == {}
    assert kasbah("token", "revoke", "1", "--yes") == 3


def test_a_token_for_longer_than_a_century_is_wrong_usage(kasbah):
    assert kasbah("token", "create", "laptop", "--expires-in", "99999999d") == 2
