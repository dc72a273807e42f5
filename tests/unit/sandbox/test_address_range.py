"""Addresses for a real node overlap nothing that is routed to or asked for names."""

from __future__ import annotations

import ipaddress
import random

from sandbox import address_range
from sandbox.address_range import Network


def test_a_range_avoids_every_routed_network() -> None:
    taken = [Network("10.0.0.0/9"), Network("10.128.0.0/10"), Network("172.16.0.0/12")]
    found = address_range.free(taken, random.Random(7))
    assert found is not None
    assert not any(found.whole.overlaps(network) for network in taken)


def test_when_everything_is_taken_there_is_none() -> None:
    assert address_range.free([Network("10.0.0.0/8"), Network("172.16.0.0/12")], random.Random(7)) is None


def test_the_parts_of_a_range_lie_apart_within_it() -> None:
    found = address_range.free([], random.Random(7))
    assert found is not None
    pods, services = Network(found.pods), Network(found.services)
    assert not pods.overlaps(services)
    assert all(part.subnet_of(found.whole) for part in (pods, services))
    assert ipaddress.IPv4Address(found.node) not in pods


def test_routes_become_networks_and_the_default_route_does_not() -> None:
    routes = [{"dst": "default"}, {"dst": "192.0.2.0/24"}, {"dst": "10.1.2.3"}]
    assert list(address_range.routed(routes)) == [Network("192.0.2.0/24"), Network("10.1.2.3/32")]


def test_name_servers_count_even_without_a_route_of_their_own() -> None:
    text = "# comment\nsearch example.org\nnameserver 10.255.255.53\nnameserver fe80::1\nnameserver\n"
    assert list(address_range.name_servers(text)) == [Network("10.255.255.53/32")]
