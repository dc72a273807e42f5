from __future__ import annotations

import pytest

from kasbah.errors import UserError
from kasbah.kit import http_proxy
from kasbah.kit.secrets import Secret


def test_a_proxys_url_may_hold_credentials():
    proxy = http_proxy.read(Secret("http://mia:p%40ss@proxy.example:3128"))
    assert proxy is not None
    assert (proxy.host, proxy.port, proxy.credentials.reveal()) == ("proxy.example", 3128, "mia:p@ss")


def test_a_bare_name_is_a_proxy_on_port_80():
    proxy = http_proxy.read(Secret("proxy.example"))
    assert proxy is not None
    assert (proxy.host, proxy.port) == ("proxy.example", 80)


def test_nothing_is_no_proxy():
    assert http_proxy.read(Secret("")) is None


@pytest.mark.parametrize(
    "value", ["https://proxy.example", "socks5://proxy.example", "http://:3128", "http://p:x"]
)
def test_a_proxy_that_cannot_be_used_is_an_error_without_its_value(value: str):
    with pytest.raises(UserError) as refused:
        http_proxy.read(Secret(value))
    assert value not in str(refused.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "kas.corp.example", "10.1.2.3"])
def test_this_machine_and_what_is_listed_is_dialled_directly(host: str):
    assert http_proxy.is_excluded(host, 443, "corp.example, 10.0.0.0/8")


def test_everybody_else_goes_through_the_proxy():
    assert not http_proxy.is_excluded("kas.example", 443, "corp.example,10.0.0.0/8")
