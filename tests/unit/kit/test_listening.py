"""Addresses as people write them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from kasbah.errors import UserError
from kasbah.kit.listening import Address, Network, bound, parse_address, parse_listen_address


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


@pytest.mark.parametrize(
    ("network", "text", "address"),
    [
        ("tcp", ":8150", Address(host="", port=8150)),
        ("tcp4", "0.0.0.0:8154", Address(host="0.0.0.0", port=8154, network="tcp4")),
        ("tcp6", "[::1]:1", Address(host="::1", port=1, network="tcp6")),
        ("unix", "/run/kas.sock", Address(host="/run/kas.sock", port=0, network="unix")),
    ],
)
def test_a_listen_address_may_be_every_interface_or_a_path(network: Network, text: str, address: Address):
    assert parse_listen_address(network, text) == address


@pytest.mark.parametrize(
    ("network", "text"), [("tcp", ":99999"), ("unix", "kas.sock"), ("unix", "/" + "x" * 100)]
)
def test_what_is_no_listen_address_is_refused(network: Network, text: str):
    with pytest.raises(UserError, match="is not"):
        parse_listen_address(network, text)


@pytest.mark.parametrize(
    ("network", "families"), [("tcp4", {socket.AF_INET}), ("tcp", {socket.AF_INET, socket.AF_INET6})]
)
def test_a_network_is_a_family_or_both(network: Network, families: set[socket.AddressFamily]):
    with bound(Address(host="", port=0, network=network)) as ours:
        found = {made.family for made in ours.sockets}
        assert found <= families
        assert socket.AF_INET in found


def test_what_is_accepted_sends_without_delay():
    with (
        bound(Address(host="127.0.0.1", port=0)) as at,
        socket.create_connection(("127.0.0.1", at.address.port)),
        at.sockets[0].accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_path_is_bound_again_only_when_nobody_answers_there(tmp_path: Path):
    path = tmp_path / "kas.sock"
    address = Address(host=str(path), port=0, network="unix")
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    with bound(address) as ours:
        assert str(ours.address) == str(path)
        with pytest.raises(OSError, match="in use"), bound(address):
            pass
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(path))
    assert not path.exists()


def test_a_path_that_is_something_else_is_left_alone(tmp_path: Path):
    path = tmp_path / "kas.sock"
    path.write_text("precious")
    with pytest.raises(OSError, match="in use"), bound(Address(host=str(path), port=0, network="unix")):
        pass
    assert path.read_text() == "precious"
