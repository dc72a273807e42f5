"""Secrets do not show, and tokens look as GitLab's do."""

from __future__ import annotations

import re

import pytest

from kasbah.kit.secrets import Secret, fingerprint, generate_token, scrub


def test_a_secret_shows_only_when_asked():
    secret = Secret("glpat-abc")
    assert "abc" not in f"{secret} {secret!r}"
    assert secret.reveal() == "glpat-abc"


def test_secrets_compare_by_value():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert hash(Secret("a")) == hash(Secret("a"))
    assert not Secret("")


def test_a_token_has_its_prefix_and_fifty_characters_without_look_alikes():
    token = generate_token("glagent-").reveal()
    assert re.fullmatch(r"glagent-[A-HJ-NP-Za-km-z1-9_-]{50}", token)
    assert token != generate_token("glagent-").reveal()


def test_a_fingerprint_is_sha256():
    assert fingerprint(Secret("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    "text",
    [
        "token glpat-AbC_d-9.x rest",
        "Bearer pat:7:glpat-secret rest",
        "ci:1:eyJhbGciOi rest",
        "jwt eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhIn0.c2lnbmF0dXJl rest",
        "https://user:hunter2@host/path rest",
        "glagent-Zk3vsecret rest",
        "_gitlab_kas=glkas-Zk3vsecret; rest",
    ],
)
def test_everything_shaped_like_a_credential_is_masked(text: str):
    clean = scrub(text)
    assert "***" in clean
    assert clean.endswith("rest")
    for part in ("AbC_d", "secret", "eyJ", "hunter2"):
        assert part not in clean


def test_ordinary_text_stays():
    text = "agent 7 at 10.0.0.1:443 failed: GET /api/v1/pods"
    assert scrub(text) == text
