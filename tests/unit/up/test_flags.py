"""The flags of `kasbah up`."""

from __future__ import annotations

from pathlib import Path

import pytest

from kasbah.errors import UserError
from kasbah.kit.listening import Address
from kasbah.up.flags import parse


def test_without_flags_everything_is_on_this_machine():
    settings = parse([], {})
    assert settings.data == Path("kasbah-data").absolute()
    assert [str(each) for each in (settings.http, settings.https, settings.grpc)] == [
        "127.0.0.1:8080",
        "127.0.0.1:8443",
        "127.0.0.1:8150",
    ]
    assert (settings.observability, settings.database_url, settings.hostnames) == (None, None, ())


def test_flags_are_taken():
    words = "--http h:1 --observability [::1]:2 --external-url https://x/ --hostname a --hostname b --data /d"
    settings = parse(words.split(), {})
    assert (settings.http, settings.observability) == (Address(host="h", port=1), Address(host="::1", port=2))
    assert (settings.external_url, settings.hostnames, settings.data) == ("https://x", ("a", "b"), Path("/d"))


@pytest.mark.parametrize("flag", ["--http", "--https", "--grpc", "--observability"])
def test_an_address_that_is_none_is_named_by_its_flag(flag: str):
    with pytest.raises(UserError, match=rf"^{flag}: 'nonsense' is not HOST:PORT"):
        parse([flag, "nonsense"], {})


@pytest.mark.parametrize("flag", ["--tls-cert", "--tls-key"])
def test_a_certificate_and_its_key_belong_together(flag: str):
    with pytest.raises(UserError, match="give both or neither"):
        parse([flag, "x"], {})


def test_the_database_s_url_is_taken_out_of_the_environment_and_not_printed():
    environ = {"KASBAH_DATABASE_URL": "postgresql://me:hunter2@db/kasbah", "HOME": "/root"}
    settings = parse([], environ)
    assert settings.database_url
    assert settings.database_url.reveal() == "postgresql://me:hunter2@db/kasbah"
    assert environ == {"HOME": "/root"}
    assert "hunter2" not in repr(settings)


def test_sessions_are_recorded_where_somebody_says():
    assert parse([], {}).record_sessions is None
    settings = parse(["--record-sessions", "/r", "--record-input"], {})
    assert (settings.record_sessions, settings.record_input) == (Path("/r"), True)
    with pytest.raises(UserError, match="--record-input is for --record-sessions"):
        parse(["--record-input"], {})


def test_refusals_are_explained_unless_told_otherwise():
    assert parse([], {}).explain_refusals
    assert not parse(["--no-explain-refusals"], {}).explain_refusals


def test_a_kas_elsewhere_is_named_with_its_secret():
    settings = parse(["--kas-api", "grpc://kas:8153", "--kas-api-secret-file", "/s"], {})
    assert (str(settings.kas_api), settings.kas_api_secret_file) == ("grpc://kas:8153", Path("/s"))
    assert parse([], {}).kas_api is None


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("--kas-api kas:8153", r"--kas-api: 'kas:8153' is not grpc://HOST:PORT"),
        ("--kas-api-secret-file /s", "--kas-api-secret-file is for --kas-api"),
    ],
)
def test_a_kas_elsewhere_that_is_none_is_named_by_its_flag(words: str, problem: str):
    with pytest.raises(UserError, match=problem):
        parse(words.split(), {})


def test_everything_is_audited_below_the_data_unless_said_otherwise():
    settings = parse(["--data", "/d"], {})
    assert (settings.audit, settings.audit_directory) == ("all", Path("/d/audit"))
    assert not settings.access_log
    other = parse(["--audit", "writes", "--audit-directory", "/a", "--access-log", "-"], {})
    assert (other.audit, other.audit_directory, other.access_log) == ("writes", Path("/a"), "-")
