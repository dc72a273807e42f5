from __future__ import annotations

import ssl

import pytest

from kasbah.agentk.doctor.kas_hops import KasHops, way_to_kas
from kasbah.agentk.reverse_tunnel.address import parse_kas_address
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.kit.http_proxy import ProxySettings
from kasbah.kit.secrets import Secret

PROXY = Secret("http://proxy.example:3128")


def settings(address: str, **proxies: object) -> ReverseTunnelSettings:
    return ReverseTunnelSettings(address=parse_kas_address(address), proxy=ProxySettings(**proxies))


def names(address: str, context: ssl.SSLContext | None = None) -> list[str]:
    return [check.name for check in KasHops(settings(address), context, "agentk").checks()]


def test_a_websocket_is_looked_at_up_to_its_handshake():
    assert names("wss://kas.example", ssl.create_default_context()) == [
        *("kas.address", "kas.proxy", "kas.dns", "kas.tcp", "kas.tls"),
        *("kas.clock", "kas.websocket", "kas.version"),
    ]
    assert KasHops(settings("ws://kas.example"), None, "agentk").last == "kas.websocket"


def test_grpc_begins_right_on_the_connection():
    assert (
        names("grpc://kas.example")[-1] == KasHops(settings("grpc://kas.example"), None, "").last == "kas.tcp"
    )


@pytest.mark.parametrize(
    ("address", "proxies", "told"),
    [
        ("wss://kas.example", {}, "HTTPS_PROXY is not set"),
        ("grpcs://kas.example", {"http_proxy": PROXY}, "HTTPS_PROXY is not set"),
        ("ws://kas.example", {"https_proxy": PROXY}, "HTTP_PROXY is not set"),
        ("wss://kas.example", {"https_proxy": PROXY}, "because of HTTPS_PROXY"),
        ("ws://kas.example", {"http_proxy": PROXY}, "because of HTTP_PROXY"),
        ("grpc://kas.example", {"http_proxy": PROXY}, "because of HTTP_PROXY"),
        ("grpc://kas.example", {"https_proxy": PROXY}, "because of HTTPS_PROXY"),
        ("wss://kas.example", {"https_proxy": PROXY, "no_proxy": ".example"}, "excludes kas.example"),
    ],
)
def test_why_there_is_a_proxy_or_none_is_told(address: str, proxies: dict[str, object], told: str):
    way = way_to_kas(settings(address, **proxies), None)
    assert told in way.proxy_says
    assert (way.proxy is not None) == told.startswith("because")


def test_grpc_wants_http2():
    assert way_to_kas(settings("grpcs://kas.example"), ssl.create_default_context()).protocol == "h2"
