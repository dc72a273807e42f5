"""The credential plugin: its options, its dates, its one format. (The host it asks is real in the integration tests.)"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from kasbah.cli import credential, credential_cache
from kasbah.cli.credential import Options
from kasbah.cli.credential_cache import CachedToken
from kasbah.cli.errors import UnreachableError, UsageError
from kasbah.cli.hosts import Host
from kasbah.kit.secrets import Secret

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
URL = "http://127.0.0.1:1"
CACHED = CachedToken(77, Secret("glpat-k8s"), "2026-03-02", URL)


def test_the_options_of_a_kubeconfig_are_read():
    arguments = ["--agent", "7", "--host=https://one.example", "--token-expiry-duration", "48h0m0s"]

    assert credential.parse_options([*arguments, "--check-revoked"]) == Options(
        7, "https://one.example", timedelta(hours=48), check_revoked=True
    )


def test_help_is_no_option():
    assert credential.parse_options(["--help"]) is None


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["--agent"], ["--agent", "prod"], ["--agent", "0"], ["--agent", "٣"], ["--nonsense"], ["--agent=7", "x"],
        ["--agent=7", "--token-expiry-duration=1h"], ["--agent=7", "--token-expiry-duration=400d"],
    ],
)  # fmt: skip
def test_wrong_options_are_refused(arguments):
    with pytest.raises(UsageError):
        credential.parse_options(arguments)


@pytest.mark.parametrize(
    ("now", "date"),
    [
        (datetime(2026, 3, 1, 0, 0, tzinfo=UTC), "2026-03-02"),
        (datetime(2026, 3, 1, 12, 0, tzinfo=UTC), "2026-03-03"),
        (datetime(2026, 3, 1, 23, 59, tzinfo=UTC), "2026-03-03"),
    ],
)
def test_a_token_never_ends_before_its_duration(now, date):
    assert credential.expiry_date(now, timedelta(hours=24)) == date


def test_the_credential_is_what_kubectl_reads():
    assert json.loads(credential.render_credential(7, CACHED)) == {
        "kind": "ExecCredential",
        "apiVersion": "client.authentication.k8s.io/v1",
        "spec": {"interactive": False},
        "status": {"expirationTimestamp": "2026-03-01T23:55:00Z", "token": "pat:7:glpat-k8s"},
    }


@pytest.fixture
def environ(tmp_path):
    environ = {"HOME": str(tmp_path), "KASBAH_URL": URL, "KASBAH_TOKEN": "glpat-mia"}
    entry = credential_cache.entry_of(environ, Host(URL, Secret("glpat-mia")), 7)
    with credential_cache.locked(entry):
        credential_cache.write(entry, CACHED)
    return environ


def test_a_cached_token_needs_no_host(environ):
    assert "pat:7:glpat-k8s" in credential.obtain(Options(7), environ, NOW)


@pytest.mark.parametrize(
    ("options", "now"),
    [(Options(7), NOW + timedelta(hours=12)), (Options(8), NOW), (Options(7, check_revoked=True), NOW)],
    ids=["it ends", "another agent", "it may be revoked"],
)
def test_the_host_is_asked_when(environ, options, now):
    with pytest.raises(UnreachableError):
        credential.obtain(options, environ, now)
