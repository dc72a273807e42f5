"""By which URL a kas says it is reached, and when it cannot know."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from kasbah.errors import UserError
from kasbah.kas.private_api.own_url import find_own_url, local_addresses

HERE = [ip_address(text) for text in ("127.0.0.1", "10.1.2.3", "10.9.0.1", "fd00::2")]


@pytest.mark.parametrize(
    ("environment", "address", "more", "url"),
    [
        ({"OWN_PRIVATE_API_URL": "grpc://10.0.0.5:8155"}, ":8155", {}, "grpc://10.0.0.5:8155"),
        ({"OWN_PRIVATE_API_CIDR": "10.1.0.0/16"}, "0.0.0.0:8155", {}, "grpc://10.1.2.3:8155"),
        ({"OWN_PRIVATE_API_CIDR": "fd00::/64"}, "[::]:8155", {}, "grpc://[fd00::2]:8155"),
        (
            {
                "OWN_PRIVATE_API_CIDR": "10.1.0.0/16",
                "OWN_PRIVATE_API_SCHEME": "grpcs",
                "OWN_PRIVATE_API_PORT": "443",
            },
            ":8155",
            {},
            "grpcs://10.1.2.3:443",
        ),
        ({}, "10.1.2.3:8155", {}, "grpc://10.1.2.3:8155"),
        ({}, "kas-1:8155", {}, "grpc://kas-1:8155"),
        ({"OWN_PRIVATE_API_HOST": "kas"}, "10.1.2.3:8155", {"tls": True}, "grpcs://10.1.2.3:8155"),
        ({}, "/run/kas", {"network": "unix"}, "unix:///run/kas"),
    ],
)
def test_it_is_told_found_or_read(
    environment: dict[str, str], address: str, more: dict[str, object], url: str
):
    assert str(find_own_url(environment, address, addresses=HERE, **more)) == url  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("environment", "address", "more", "complaint"),
    [
        (
            {"OWN_PRIVATE_API_URL": "grpc://a:1", "OWN_PRIVATE_API_CIDR": "10.0.0.0/8"},
            ":8155",
            {},
            "not both",
        ),
        ({}, ":8155", {}, "every address"),
        ({}, "0.0.0.0:8155", {}, "every address"),
        ({}, "[::]:8155", {}, "every address"),
        ({"OWN_PRIVATE_API_CIDR": "10.0.0.0/8"}, ":8155", {}, "there are 2"),
        ({"OWN_PRIVATE_API_CIDR": "192.168.0.0/16"}, ":8155", {}, "there are 0"),
        ({"OWN_PRIVATE_API_CIDR": "10.0.0.0/99"}, ":8155", {}, "OWN_PRIVATE_API_CIDR"),
        ({"OWN_PRIVATE_API_CIDR": "10.1.0.0/16", "OWN_PRIVATE_API_SCHEME": "http"}, ":8155", {}, "SCHEME"),
        ({"OWN_PRIVATE_API_CIDR": "10.1.0.0/16", "OWN_PRIVATE_API_PORT": "x"}, ":8155", {}, "no port"),
        ({}, "10.1.2.3:0", {}, "no port"),
        ({}, "10.1.2.3:8155", {"tls": True}, "OWN_PRIVATE_API_HOST"),
        ({"OWN_PRIVATE_API_URL": "http://a:1"}, ":8155", {}, "grpc://"),
    ],
)
def test_what_cannot_be_known_for_sure_is_an_error(
    environment: dict[str, str], address: str, more: dict[str, object], complaint: str
):
    with pytest.raises(UserError, match=complaint):
        find_own_url(environment, address, addresses=HERE, **more)  # type: ignore[arg-type]


def test_this_machine_has_itself():
    assert ip_address("127.0.0.1") in local_addresses()
