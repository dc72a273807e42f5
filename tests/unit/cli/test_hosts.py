"""Which host a command talks to: what was stored, and the environment over it."""

from __future__ import annotations

import stat

import pytest

from kasbah.cli import hosts
from kasbah.cli.errors import NotAllowedError, UsageError
from kasbah.cli.hosts import Host, Hosts
from kasbah.errors import UserError
from kasbah.kit.secrets import Secret

ONE = Host("https://one.example", Secret("glpat-one"), "PEM one", "mia")
TWO = Host("https://two.example", Secret("glpat-two"), "", "mia")


@pytest.fixture
def environ(tmp_path):
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    stored = Hosts(current=ONE.url, by_url={ONE.url: ONE, TWO.url: TWO})
    hosts.store(hosts.config_file(environ), stored)
    return environ


def test_what_is_stored_is_read_back(environ):
    assert hosts.load(hosts.config_file(environ)).by_url == {ONE.url: ONE, TWO.url: TWO}


def test_the_stored_file_is_private(environ):
    assert stat.S_IMODE(hosts.config_file(environ).stat().st_mode) == 0o600


def test_without_a_file_nobody_is_logged_in(tmp_path):
    assert hosts.load(tmp_path / "hosts.json") == Hosts()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"hosts": []}', '{"hosts": {"x": 1}, "current": ""}'])
def test_a_damaged_file_says_what_to_do(tmp_path, content):
    (tmp_path / "hosts.json").write_text(content)

    with pytest.raises(UserError, match="damaged; remove it and log in again"):
        hosts.load(tmp_path / "hosts.json")


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        hosts.load(tmp_path)


@pytest.mark.parametrize("text", ["https://me:pass@host:port", "https://me:glpat-secret@host:0"])
def test_a_password_in_a_url_that_is_none_is_not_repeated(text):
    with pytest.raises(UsageError) as refused:
        hosts.normalize_url(text)
    assert "me:" not in str(refused.value)


def test_the_current_host_is_used_when_none_is_named(environ):
    assert hosts.resolve(environ) == ONE


def test_a_named_host_is_used(environ):
    assert hosts.resolve(environ, "two.example/").url == TWO.url


def test_the_environment_names_the_host_and_the_token(environ):
    found = hosts.resolve({**environ, "KASBAH_URL": "https://Two.example/", "KASBAH_TOKEN": " glpat-env\n"})

    assert (found.url, found.token) == (TWO.url, Secret("glpat-env"))


def test_a_token_without_a_url_goes_to_this_machine(tmp_path):
    found = hosts.resolve({"HOME": str(tmp_path), "KASBAH_TOKEN": "glpat-env"})

    assert found.url == hosts.DEFAULT_URL


def test_the_environments_token_never_goes_to_another_host_than_its_own(environ):
    found = hosts.resolve({**environ, "KASBAH_URL": TWO.url, "KASBAH_TOKEN": "glpat-env"}, ONE.url)
    with pytest.raises(NotAllowedError):
        hosts.resolve({**environ, "KASBAH_TOKEN": "glpat-env"}, "https://elsewhere.example")

    assert found.token == ONE.token


def test_files_of_the_environment_are_read_and_passed_on(environ, tmp_path):
    (tmp_path / "token").write_text("glpat-file\n")
    (tmp_path / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\n")
    files = {"KASBAH_TOKEN_FILE": str(tmp_path / "token"), "KASBAH_CA_FILE": str(tmp_path / "ca.crt")}

    found = hosts.resolve({**environ, **files})

    assert found.token == Secret("glpat-file")
    assert found.ca_certificate == "-----BEGIN CERTIFICATE-----\n"
    assert dict(found.environment) == {"KASBAH_URL": ONE.url, **files}


def test_a_token_in_the_environment_is_passed_on_to_nobody(environ):
    assert hosts.resolve({**environ, "KASBAH_TOKEN": "glpat-env"}).environment == ()


@pytest.mark.parametrize("environ", [{}, {"KASBAH_URL": "https://unknown.example"}])
def test_nobody_logged_in_is_told_how(tmp_path, environ):
    with pytest.raises(NotAllowedError, match="kasbah login"):
        hosts.resolve({"HOME": str(tmp_path), **environ})


@pytest.mark.parametrize(
    "url", ["ftp://x", "https://", "https://[", "https://a:b@c", "https://x?y", "https://a b", "x:99999"]
)
def test_what_is_no_hosts_url_is_refused(url):
    with pytest.raises(UsageError):
        hosts.normalize_url(url)


def test_a_url_keeps_its_path_and_port():
    assert hosts.normalize_url("HTTP://Git.Example:8080/GitLab/") == "http://git.example:8080/GitLab"


@pytest.mark.parametrize("content", ["", " \n", "two words", "glpat-a\nglpat-b", "glpät", "x" * 5000])
def test_a_token_file_holds_one_token(tmp_path, content):
    (tmp_path / "token").write_text(content)

    with pytest.raises(UserError, match="does not hold a token"):
        hosts.read_token(tmp_path / "token")


def test_a_ca_file_holds_certificates(tmp_path):
    (tmp_path / "ca.crt").write_bytes(b"key")

    with pytest.raises(UserError, match="no PEM certificate"):
        hosts.read_ca(tmp_path / "ca.crt")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_is_no_text_is_named(tmp_path, content):
    if content:
        (tmp_path / "ca.crt").write_bytes(content)

    with pytest.raises(UserError, match=r"cannot read .*ca\.crt"):
        hosts.read_ca(tmp_path / "ca.crt")
