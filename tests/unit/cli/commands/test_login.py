"""`kasbah login`, `logout`, `whoami`."""

from __future__ import annotations

import json
import stat

import pytest

from kasbah.cli import credential_cache
from kasbah.cli.credential_cache import CachedToken
from kasbah.cli.hosts import Host
from kasbah.kit.secrets import Secret
from tests.doubles.fake_gitlab import TOKEN, URL


@pytest.fixture
def stranger(kasbah):
    """Nobody is logged in yet."""
    kasbah.logged_in = False
    return kasbah


def log_in(kasbah, tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    return kasbah("login", "--url", URL, "--token-file", str(tmp_path / "token"))


def test_a_good_token_is_stored_privately(stranger, tmp_path):
    assert log_in(stranger, tmp_path) == 0

    file = tmp_path / ".config" / "kasbah" / "hosts.json"
    assert stranger.err == f"Logged in to {URL} as mia.\n"
    assert json.loads(file.read_text())["hosts"][URL]["token"] == TOKEN
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stranger("whoami", "-o", "name") == 0
    assert stranger.out == "mia\n"


def test_a_bad_token_is_not_stored(stranger, tmp_path):
    stranger.typed = "glpat-bad\n"

    assert stranger("login", "--url", URL, "--token-stdin") == 4
    assert not (tmp_path / ".config").exists()
    assert "glpat" not in stranger.err


@pytest.mark.parametrize(
    "arguments",
    [["--token-stdin"], [], ["--token-stdin", "--token-file", "x"], ["--url", "ftp://x", "--token-stdin"]],
)
def test_a_login_without_a_usable_token_is_wrong_usage(stranger, arguments):
    assert stranger("login", *arguments) == 2


def test_plain_http_to_another_machine_is_warned_of(stranger):
    stranger.typed = f"{TOKEN}\n"

    assert stranger("login", "--url", "http://gitlab.example.org", "--token-stdin") == 0
    assert "over plain http everybody" in stranger.err


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:1"])
def test_plain_http_on_this_machine_is_nobodys_business(stranger, host):
    stranger.typed = f"{TOKEN}\n"

    assert stranger("login", "--url", f"http://{host}", "--token-stdin") == 0
    assert "Warning" not in stranger.err


def test_logging_out_forgets_the_host_and_revokes_kubectls_tokens(stranger, tmp_path):
    log_in(stranger, tmp_path)
    stranger.gitlab.access_tokens[77] = {"id": 77, "name": "k8s", "scopes": ["k8s_proxy"]}
    environ = {"HOME": str(tmp_path)}
    entry = credential_cache.entry_of(environ, Host(URL, Secret(TOKEN)), 7)
    with credential_cache.locked(entry):
        credential_cache.write(entry, CachedToken(77, Secret("glpat-k8s"), "2999-01-01", URL))

    assert stranger("logout") == 0

    assert stranger.gitlab.access_tokens == {}
    assert not entry.exists()
    assert stranger("whoami") == 4


def test_a_token_that_cannot_be_revoked_does_not_keep_anybody_logged_in(stranger, tmp_path):
    log_in(stranger, tmp_path)
    environ = {"HOME": str(tmp_path)}
    entry = credential_cache.entry_of(environ, Host(URL, Secret(TOKEN)), 7)
    with credential_cache.locked(entry):
        credential_cache.write(entry, CachedToken(78, Secret("glpat-k8s"), "2999-01-01", URL))

    assert stranger("logout") == 0
    assert "Could not revoke the token 78 (it ends on 2999-01-01)" in stranger.err


def test_nothing_to_forget_is_said(stranger):
    assert stranger("logout") == 4


def test_whoami_names_the_host(kasbah):
    assert kasbah("whoami") == 0
    assert URL in kasbah.out
