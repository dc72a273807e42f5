"""By which URL the other replicas reach this one: told, found by a network, or read off the listening address.

The rules, the names and the errors are those of GitLab's kas. What cannot be known for sure is an error at the start:
a wrong URL would be found out by requests that fail.
"""

from __future__ import annotations

import array
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from kasbah.errors import UserError
from kasbah.kas.private_api.url import PrivateApiUrl, parse_url

URL: Final = "OWN_PRIVATE_API_URL"
CIDR: Final = "OWN_PRIVATE_API_CIDR"
SCHEME: Final = "OWN_PRIVATE_API_SCHEME"
PORT: Final = "OWN_PRIVATE_API_PORT"
HOST: Final = "OWN_PRIVATE_API_HOST"

_SIOCGIFCONF: Final = 0x8912
_IFREQ_BYTES: Final = 40
_MOST_ADDRESSES: Final = 256

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def find_own_url(
    environment: Mapping[str, str],
    listen_address: str,
    *,
    network: str = "tcp",
    tls: bool = False,
    addresses: Iterable[IPAddress] | None = None,
) -> PrivateApiUrl:
    """This replica's URL.

    Args:
        environment: where the names above are looked up.
        listen_address: `HOST:PORT` of the private API, or its path when the network is `unix`.
        network: of the listener.
        tls: whether the listener has a certificate.
        addresses: of this machine's interfaces; asked for when they are needed.

    Raises:
        UserError: it is told twice, cannot be known, or the name for TLS is missing.
    """
    if tls and not environment.get(HOST):
        raise UserError(f"{HOST} must name the certificate's host when private_api.listen has a certificate")
    if environment.get(URL) and environment.get(CIDR):
        raise UserError(f"give {URL} or {CIDR}, not both")
    if environment.get(URL):
        return parse_url(environment[URL])
    if network == "unix":
        return parse_url(f"unix://{listen_address}")
    host, _, port_text = listen_address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    port = _port(environment.get(PORT) or port_text)
    if environment.get(CIDR):
        found = _inside(environment[CIDR], local_addresses() if addresses is None else addresses)
        return PrivateApiUrl(host=str(found), port=port, tls=_asks_for_tls(environment))
    if _is_wildcard(host):
        raise UserError(
            f"private_api.listen is every address of this machine: say with {URL} or {CIDR} by which one the other "
            "replicas reach it"
        )
    return PrivateApiUrl(host=host, port=port, tls=tls)


def _asks_for_tls(environment: Mapping[str, str]) -> bool:
    scheme = environment.get(SCHEME) or "grpc"
    if scheme not in {"grpc", "grpcs"}:
        raise UserError(f"{SCHEME} must be grpc or grpcs, and not {scheme!r}")
    return scheme == "grpcs"


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text[:6]) < 65536:
        raise UserError(f"{text!r} is no port: see {PORT} and private_api.listen.address")
    return int(text)


def _inside(cidr: str, addresses: Iterable[IPAddress]) -> IPAddress:
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError as error:
        raise UserError(f"{CIDR}: {error}") from error
    found = [address for address in addresses if address in network]
    if len(found) != 1:
        raise UserError(
            f"{CIDR}: exactly one address of this machine must be in {network}, and there are {len(found)}"
        )
    return found[0]


def _is_wildcard(host: str) -> bool:
    try:
        return not host or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False  # a name


def local_addresses() -> list[IPAddress]:
    """The addresses of this machine's interfaces (Linux)."""
    # struct ifconf: a length and a pointer to as many struct ifreq; netdevice(7).
    buffer = array.array("B", bytes(_IFREQ_BYTES * _MOST_ADDRESSES))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        answer = fcntl.ioctl(asked, _SIOCGIFCONF, struct.pack("iL", len(buffer), buffer.buffer_info()[0]))
    found: list[IPAddress] = [
        ipaddress.IPv4Address(bytes(buffer[start + 20 : start + 24]))
        for start in range(0, struct.unpack("iL", answer)[0], _IFREQ_BYTES)
    ]
    listed = Path("/proc/net/if_inet6")
    if listed.exists():
        found += [
            ipaddress.IPv6Address(int(line.split()[0], 16)) for line in listed.read_text("ascii").splitlines()
        ]
    return list(dict.fromkeys(found))
