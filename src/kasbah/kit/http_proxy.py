"""HTTP proxies as the environment names them: HTTPS_PROXY, HTTP_PROXY and NO_PROXY in Go's reading."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from kasbah.errors import UserError
from kasbah.kit.secrets import Secret

_NOTHING = Secret("")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyAddress:
    """An HTTP proxy that is asked to CONNECT."""

    host: str
    port: int
    credentials: Secret
    """`user:password`, or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """What HTTPS_PROXY, HTTP_PROXY and NO_PROXY say (Go's reading of them)."""

    https_proxy: Secret = _NOTHING
    """For wss and grpcs, and for grpc as gRPC libraries do; an URL that may hold a password."""
    http_proxy: Secret = _NOTHING
    """For ws, and for grpc when there is no other."""
    no_proxy: str = ""
    """Comma-separated hosts, domains, addresses and CIDR blocks that are dialled directly; `*` for all."""


class ProxyUrlError(UserError):
    """A proxy variable of the environment cannot be used."""


def read(secret: Secret) -> ProxyAddress | None:
    """The proxy that a variable's value names; None when it is empty.

    Raises:
        ProxyUrlError: the proxy's URL cannot be used.
    """
    if not secret:
        return None
    text = secret.reveal()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError as error:
        raise ProxyUrlError("HTTPS_PROXY or HTTP_PROXY does not hold a URL") from error
    if parts.scheme != "http" or not parts.hostname:
        raise ProxyUrlError("only http:// proxies are supported in HTTPS_PROXY and HTTP_PROXY")
    credentials = ""
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return ProxyAddress(host=parts.hostname, port=port or 80, credentials=Secret(credentials))


def is_excluded(host: str, port: int, no_proxy: str, *, own_machine: bool = True) -> bool:
    """Whether this host is dialled directly: by the list, or (as Go does, and Python does not) as this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if own_machine and (host == "localhost" or (address is not None and address.is_loopback)):
        return True
    return any(
        _matches(host.lower(), port, address, entry.strip().lower())
        for entry in no_proxy.split(",")
        if entry.strip()
    )


def _matches(
    host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, entry: str
) -> bool:
    if entry == "*":
        return True
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return entry in {f"{host}:{port}", f"[{host}]:{port}"}
    name, _, entry_port = entry.partition(":")
    if entry_port and entry_port != str(port):
        return False
    name = name.removeprefix("*")
    if name.startswith("."):
        return host.endswith(name)
    return host == name or host.endswith(f".{name}")
