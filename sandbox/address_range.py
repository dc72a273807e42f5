"""Finds addresses for a real node that nobody on this machine uses, routes to, or asks for names."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Network = ipaddress.IPv4Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A /16 of private addresses, cut into what one cluster with one node needs."""

    whole: Network

    @property
    def host(self) -> str:
        """The host's end of the link: where the API server listens."""
        return str(self.whole[1])

    @property
    def node(self) -> str:
        """The node's end of the link: where the kubelet listens."""
        return str(self.whole[2])

    @property
    def pods(self) -> str:
        return str(Network((int(self.whole.network_address) + (1 << 8), 24)))

    @property
    def services(self) -> str:
        return str(Network((int(self.whole.network_address) + (1 << 15), 20)))


def free(taken: Iterable[Network], choice: random.Random) -> Range | None:
    """A range that overlaps none of `taken`; None when all private ranges are in use."""
    occupied = list(taken)
    candidates = list(_candidates())
    choice.shuffle(candidates)
    for candidate in candidates:
        if not any(candidate.overlaps(other) for other in occupied):
            return Range(whole=candidate)
    return None


def routed(routes: Iterable[dict[str, object]]) -> Iterator[Network]:
    """The networks in the answer of `ip -json route show table all`; the default route leads elsewhere, not there."""
    for route in routes:
        destination = str(route.get("dst", "default"))
        if destination != "default":
            yield Network(destination, strict=False)


def name_servers(resolv_conf: str) -> Iterator[Network]:
    """The name servers of a resolv.conf: they may lie in a range without a route of its own."""
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver" and ":" not in words[1]:
            yield Network(words[1])


def _candidates() -> Iterator[Network]:
    for second in range(1, 255):
        yield Network(f"10.{second}.0.0/16")
    for second in range(16, 32):
        yield Network(f"172.{second}.0.0/16")
