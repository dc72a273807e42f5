from __future__ import annotations

import itertools

import pytest

from kasbah.kas.kubernetes_api.browsers import Browsers
from kasbah.wire import http1
from kasbah.wire.http1 import RequestHead

HUB = "https://hub.example:8443"
OWN = [b"https://hub.example:8443"]
FOREIGN = [
    b"null",
    b"https://evil.example",
    b"http://hub.example:8443",
    b"https://hub.example",
    b"https://hub.example:8443.evil.example",
    b"https://evilhub.example:8443",
    b"https://HUB.example:8443",
    b"https://hub.example:8443, https://evil.example",
    b"https://hub.example:8443/",
]
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"


def head(
    host: bytes = b"hub.example:8443",
    method: bytes = b"GET",
    origin: bytes = b"",
    site: bytes = b"",
    *more: bytes,
) -> RequestHead:
    lines = [b"Host: " + host]
    lines += [b"Origin: " + origin] if origin else []
    lines += [b"Sec-Fetch-Site: " + site] if site else []
    return http1.request_head(method + b" /x HTTP/1.1\r\n" + b"\r\n".join([*lines, *more, b"", b""]))


def refusal(*what: bytes, hub: str = HUB, **named: bytes) -> int:
    return Browsers(hub).refusal_of_cookie(head(*what, **named))


@pytest.mark.parametrize("origin", OWN + FOREIGN)
def test_only_the_hubs_page_may_read_answers(origin: bytes):
    asked = head(origin=origin)
    assert Browsers(HUB).may_ask(asked) is (origin in OWN or origin == b"http://hub.example:8443")
    cors = Browsers(HUB).cors_headers(asked)
    assert (cors != b"") is (origin in OWN)
    assert b"*" not in cors


def test_a_client_that_names_this_very_host_is_heard_and_gets_no_cors_headers():
    browsers = Browsers(HUB)
    asked = head(b"kas.internal", origin=b"https://kas.internal")
    assert browsers.may_ask(asked)
    assert browsers.cors_headers(asked) == b""
    assert not browsers.may_ask(head(b"kas.internal", b"OPTIONS", b"https://kas.internal"))


def test_without_a_hub_no_page_and_no_cookie_counts():
    assert not Browsers("").may_ask(head(origin=OWN[0], host=b"kas.example"))
    assert refusal(hub="") == 403


@pytest.mark.parametrize("origin", [b"", *OWN])
@pytest.mark.parametrize("site", [b"", b"same-origin", b"same-site"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize(
    "host", [b"hub.example:8443", b"hub.example", b"kas.hub.example", b"KAS.Hub.Example:1"]
)
def test_the_hubs_page_may_use_its_cookie(host: bytes, method: bytes, origin: bytes, site: bytes):
    assert refusal(host, method, origin, site) == 0


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize(
    ("origin", "site"),
    [
        *itertools.product(FOREIGN, [b"", b"same-origin", b"same-site", b"cross-site", b"none"]),
        *itertools.product(
            [b"", *OWN], [b"cross-site", b"none", b"Same-Origin", b"same-origin, cross-site", b"x"]
        ),
    ],
)
def test_a_foreign_page_may_not_use_the_hubs_cookie(method: bytes, origin: bytes, site: bytes):
    assert refusal(b"hub.example:8443", method, origin, site) == 403


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"evilhub.example",
        b"hub.example.evil.example",
        b"127.0.0.1",
        b"[::1]:8443",
        b"[1::2::3]",
        b"example",
    ],
)
def test_a_name_that_the_hubs_cookies_do_not_go_to_is_misdirected(host: bytes):
    assert refusal(host) == 421
    assert refusal(host, b"GET", OWN[0], b"same-origin") == 421


def test_two_opinions_of_the_browser_must_agree():
    assert refusal(b"hub.example", b"GET", b"", b"same-origin", b"Sec-Fetch-Site: cross-site") == 403


@pytest.mark.parametrize(
    ("origin", "status"), [(b"", 403), *((o, 0) for o in OWN), *((o, 403) for o in FOREIGN)]
)
def test_a_websocket_with_a_cookie_needs_the_hubs_origin(origin: bytes, status: int):
    for site in (b"", b"same-origin"):
        assert refusal(b"hub.example", b"GET", origin, site, UPGRADE[:-2]) == status


@pytest.mark.parametrize(
    ("hub", "host", "status"),
    [
        ("https://[::1]:8443", b"[::1]", 0),
        ("https://[::1]:8443", b"[::2]:8443", 421),
        ("https://[::1]", b"[1::2::3]", 421),
        ("https://127.0.0.1:8443", b"127.0.0.1:1", 0),
        ("https://127.0.0.1:8443", b"127.0.0.2", 421),
        ("http://Hub.Example", b"hub.example", 0),
    ],
)
def test_the_hub_may_be_an_address(hub: str, host: bytes, status: int):
    assert refusal(host, hub=hub) == status
