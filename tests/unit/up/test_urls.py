"""Where `kasbah up` is found, and how it says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kasbah.kit.listening import Bound, parse_address
from kasbah.up.ground import Addresses
from kasbah.up.urls import PublicUrls, announce, login_command, public_urls

CA = Path("/data/ca.crt")


def bound(text: str) -> Bound:
    return Bound(address=parse_address(text), sockets=())


def urls(external_url: str = "", http: str = "127.0.0.1:8080", https: str = "[::1]:8443") -> PublicUrls:
    addresses = Addresses(
        http=bound(http), https=bound(https), grpc=bound("127.0.0.1:8150"), observability=None
    )
    return public_urls(addresses, external_url)


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
    announce(Path("/data"), urls(), CA)
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
    command = login_command(Path("/my data"), urls(), CA)
    assert command == (
        "kasbah login --url 'https://[::1]:8443' --token-file '/my data/root-token' --ca-file /data/ca.crt"
    )
    assert "--ca-file" not in login_command(Path("/data"), urls(), None)
