"""kas' address and the proxies before it."""

from __future__ import annotations

import pytest

from kasbah.agentk.reverse_tunnel.address import find_proxy, parse_kas_address
from kasbah.errors import UserError
from kasbah.kit.http_proxy import ProxySettings
from kasbah.kit.secrets import Secret


@pytest.mark.parametrize(
    ("text", "tls", "host", "port", "target", "authority"),
    [
        ("ws://kas.example/", False, "kas.example", 80, "/", "kas.example"),
        ("wss://kas.example", True, "kas.example", 443, "/", "kas.example"),
        ("wss://kas:8443/-/kubernetes-agent/?a=b", True, "kas", 8443, "/-/kubernetes-agent/?a=b", "kas:8443"),
        ("ws://[::1]:8080/x", False, "::1", 8080, "/x", "[::1]:8080"),
        ("grpc://kas.example", False, "kas.example", 80, "/", "kas.example"),
        ("grpcs://kas.example", True, "kas.example", 443, "/", "kas.example"),
        ("grpc://[::1]:8150", False, "::1", 8150, "/", "[::1]:8150"),
    ],
)
def test_an_address_is_read(text: str, tls: bool, host: str, port: int, target: str, authority: str):
    address = parse_kas_address(text)
    assert (address.tls, address.host, address.port, address.target) == (tls, host, port, target)
    assert address.authority == authority
    assert address.grpc == text.startswith("grpc")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://kas", 'unsupported scheme in GitLab Kubernetes Agent Server address: "http"'),
        ("kas.example:8150", "unsupported scheme"),
        ("ws://", "must be scheme://host"),
        ("ws://user:password@kas/", "without credentials"),
        ("ws://kas:99999/", "malformed"),
    ],
)
def test_what_is_no_address_is_said_with_what_to_give(text: str, words: str):
    with pytest.raises(UserError, match=words) as caught:
        parse_kas_address(text)
    assert "password" not in str(caught.value)


PROXIES = ProxySettings(
    https_proxy=Secret("http://u%40x:p%3Aw@proxy:3128"),
    http_proxy=Secret("proxy2:8080"),
    no_proxy="internal.example, .corp, 10.0.0.0/8, host:8443",
)


def test_tls_and_plain_connections_have_their_own_proxy():
    secure = find_proxy(parse_kas_address("wss://kas.example/"), PROXIES)
    assert secure is not None
    assert (secure.host, secure.port, secure.credentials.reveal()) == ("proxy", 3128, "u@x:p:w")
    plain = find_proxy(parse_kas_address("ws://kas.example/"), PROXIES)
    assert plain is not None
    assert (plain.host, plain.port) == ("proxy2", 8080)


@pytest.mark.parametrize(
    ("address", "https", "http", "host"),
    [
        ("grpcs://kas.example", "http://a", "http://b", "a"),
        ("grpc://kas.example", "http://a", "http://b", "a"),
        ("grpc://kas.example", "", "http://b", "b"),
    ],
)
def test_grpc_asks_for_the_proxy_as_grpc_libraries_do(address: str, https: str, http: str, host: str):
    settings = ProxySettings(https_proxy=Secret(https), http_proxy=Secret(http))
    proxy = find_proxy(parse_kas_address(address), settings)
    assert proxy is not None
    assert proxy.host == host


def test_messages_and_proxies_name_the_port_always():
    assert parse_kas_address("wss://kas").host_port == "kas:443"
    assert parse_kas_address("grpc://[::1]").host_port == "[::1]:80"


@pytest.mark.parametrize(
    "host",
    [
        "internal.example",
        "a.internal.example",
        "a.corp",
        "10.1.2.3",
        "localhost",
        "127.0.0.1",
        "[::1]",
        "host:8443",
    ],
)
def test_no_proxy_is_dialled_directly(host: str):
    assert find_proxy(parse_kas_address(f"wss://{host}/"), PROXIES) is None


@pytest.mark.parametrize("host", ["corp", "notinternal.example", "11.0.0.1", "host:443"])
def test_everything_else_goes_through_the_proxy(host: str):
    assert find_proxy(parse_kas_address(f"wss://{host}/"), PROXIES) is not None


def test_a_star_excludes_everything():
    settings = ProxySettings(https_proxy=Secret("http://proxy"), no_proxy="*")
    assert find_proxy(parse_kas_address("wss://kas.example/"), settings) is None


def test_a_proxy_that_is_not_http_is_refused_without_its_password():
    settings = ProxySettings(https_proxy=Secret("socks5://u:hunter2@proxy"))
    with pytest.raises(UserError, match="http://") as caught:
        find_proxy(parse_kas_address("wss://kas.example/"), settings)
    assert "hunter2" not in str(caught.value)
