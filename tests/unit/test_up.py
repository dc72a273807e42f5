"""`kasbah up`: its flags, what it says, and what it keeps others out of; the process is in tests/integration/up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kasbah import up
from kasbah.errors import PeerError, UserError
from kasbah.hub.kas_client import GitPushEvent
from kasbah.kit.listening import Address, Bound, parse_address

CA = Path("/data/ca.crt")


def bound(text: str) -> Bound:
    return Bound(address=parse_address(text), sockets=())


def urls(external_url: str = "", http: str = "127.0.0.1:8080", https: str = "[::1]:8443") -> up.PublicUrls:
    addresses = up._Addresses(
        http=bound(http), https=bound(https), grpc=bound("127.0.0.1:8150"), observability=None
    )
    return up._urls(addresses, external_url)


# -- flags


def test_without_flags_everything_is_on_this_machine():
    settings = up.parse([], {})
    assert settings.data == Path("kasbah-data").absolute()
    assert [str(each) for each in (settings.http, settings.https, settings.grpc)] == [
        "127.0.0.1:8080",
        "127.0.0.1:8443",
        "127.0.0.1:8150",
    ]
    assert (settings.observability, settings.database_url, settings.hostnames) == (None, None, ())


def test_flags_are_taken():
    words = "--http h:1 --observability [::1]:2 --external-url https://x/ --hostname a --hostname b --data /d"
    settings = up.parse(words.split(), {})
    assert (settings.http, settings.observability) == (Address(host="h", port=1), Address(host="::1", port=2))
    assert (settings.external_url, settings.hostnames, settings.data) == ("https://x", ("a", "b"), Path("/d"))


@pytest.mark.parametrize("flag", ["--http", "--https", "--grpc", "--observability"])
def test_an_address_that_is_none_is_named_by_its_flag(flag: str):
    with pytest.raises(UserError, match=rf"^{flag}: 'nonsense' is not HOST:PORT"):
        up.parse([flag, "nonsense"], {})


@pytest.mark.parametrize("flag", ["--tls-cert", "--tls-key"])
def test_a_certificate_and_its_key_belong_together(flag: str):
    with pytest.raises(UserError, match="give both or neither"):
        up.parse([flag, "x"], {})


def test_the_database_s_url_is_taken_out_of_the_environment_and_not_printed():
    environ = {"KASBAH_DATABASE_URL": "postgresql://me:hunter2@db/kasbah", "HOME": "/root"}
    settings = up.parse([], environ)
    assert settings.database_url
    assert settings.database_url.reveal() == "postgresql://me:hunter2@db/kasbah"
    assert environ == {"HOME": "/root"}
    assert "hunter2" not in repr(settings)


# -- what it says


def test_people_are_sent_to_https_and_agents_on_this_machine_to_http():
    found = urls()
    assert found.external == "https://[::1]:8443"
    assert found.kas_address == "ws://127.0.0.1:8080/-/kubernetes-agent/"
    assert found.k8s_proxy == "https://[::1]:8443/-/kubernetes-agent/k8s-proxy/"


def test_behind_a_proxy_everybody_is_sent_to_the_external_url():
    found = urls("https://kasbah.example.com")
    assert found.external == "https://kasbah.example.com"
    assert found.kas_address == "wss://kasbah.example.com/-/kubernetes-agent/"
    assert found.k8s_proxy == "https://kasbah.example.com/-/kubernetes-agent/k8s-proxy/"
    assert found.http == "http://127.0.0.1:8080"


def test_every_host_is_called_localhost():
    found = urls(http="0.0.0.0:80", https="[::]:443")
    assert (found.http, found.https) == ("http://localhost:80", "https://localhost:443")


def test_scripts_get_one_line_of_json(capsys: pytest.CaptureFixture[str]):
    up._announce(Path("/data"), urls(), CA)
    line = capsys.readouterr().out.splitlines()[0]  # the log follows: only a program sends it elsewhere
    assert json.loads(line) == {
        "http": "http://127.0.0.1:8080",
        "https": "https://[::1]:8443",
        "grpc": "grpc://127.0.0.1:8150",
        "kas_address": "ws://127.0.0.1:8080/-/kubernetes-agent/",
        "k8s_proxy": "https://[::1]:8443/-/kubernetes-agent/k8s-proxy/",
        "ca_file": "/data/ca.crt",
        "root_token_file": "/data/root-token",
    }


def test_a_person_gets_the_next_command_ready_to_paste():
    command = up.login_command(Path("/my data"), urls(), CA)
    assert command == (
        "kasbah login --url 'https://[::1]:8443' --token-file '/my data/root-token' --ca-file /data/ca.crt"
    )
    assert "--ca-file" not in up.login_command(Path("/data"), urls(), None)


def test_every_failure_of_a_start_is_one_line_without_secrets(capsys: pytest.CaptureFixture[str]):
    inner = ExceptionGroup("", [UserError("no token glpat-abcdefghijkl123456789")])
    assert up._report(ExceptionGroup("", [inner, PeerError("the database is away")]), 1) == 1
    assert capsys.readouterr().err == ("kasbah up: no token ***\nkasbah up: the database is away\n")


# -- what it takes for itself


def test_a_directory_is_made_private_and_has_one_owner(tmp_path: Path):
    data = tmp_path / "new"
    with up._own(data):
        assert data.stat().st_mode & 0o777 == 0o700
        with pytest.raises(UserError, match="another `kasbah up` uses"), up._own(data):
            pass
    with up._own(data):
        pass


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    owned = up._own(tmp_path / "file" / "data")
    with pytest.raises(UserError, match=r"--data .*file/data cannot be written: Not a directory"), owned:
        pass


def test_the_local_authority_vouches_for_the_names_it_is_given(tmp_path: Path):
    settings = up.parse(["--data", str(tmp_path), "--hostname", "kasbah.test", "--http", "0.0.0.0:1"], {})
    _, ca_file = up._certificate(settings)
    assert ca_file == tmp_path / "ca.crt"
    assert b"BEGIN CERTIFICATE" in (tmp_path / "tls.crt").read_bytes()


def test_a_given_certificate_that_cannot_be_used_is_named(tmp_path: Path):
    words = [
        "--data",
        str(tmp_path),
        "--tls-cert",
        str(tmp_path / "x.crt"),
        "--tls-key",
        str(tmp_path / "x.key"),
    ]
    with pytest.raises(UserError, match=r"cannot use --tls-cert .*x\.crt"):
        up._certificate(up.parse(words, {}))


@pytest.mark.asyncio
async def test_a_push_before_kas_is_composed_is_only_a_hint_that_is_lost():
    assert await up._PushesLater().git_push(GitPushEvent(project_id=1, full_path="a/b")) is None
