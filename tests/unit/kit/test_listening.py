"""Addresses as people write them."""

from __future__ import annotations

import pytest

from kasbah.errors import UserError
from kasbah.kit.listening import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", Address(host="127.0.0.1", port=8080)),
        ("[::1]:0", Address(host="::1", port=0)),
        ("kas.example.com:65535", Address(host="kas.example.com", port=65535)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: Address):
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8080",
        ":8080",
        "[]:1",
        "::1:8080",
        "host:",
        "host:http",
        "host:65536",
        "host:-1",
        "host:٣",
        "host:" + "9" * 5000,
    ],
)
def test_what_is_no_address_is_refused_with_an_example(text: str):
    with pytest.raises(UserError, match=r"HOST:PORT, such as 127\.0\.0\.1:8080"):
        parse_address(text)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_every_host_is_dialled_as_localhost(host: str):
    address = Address(host=host, port=8080)
    assert address.is_every_host
    assert str(address) == "localhost:8080"
