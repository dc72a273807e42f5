"""kas' address as `--kas-address` gives it, and whether a proxy stands before it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from kasbah.errors import UserError
from kasbah.kit.secrets import Secret

_DEFAULT_PORTS = {"ws": 80, "wss": 443, "grpc": 80, "grpcs": 443}
_NOTHING = Secret("")


@dataclass(frozen=True, slots=True, kw_only=True)
class KasAddress:
    """Where to dial."""

    grpc: bool
    """HTTP/2 right on the connection (`grpc`, `grpcs`); otherwise within a WebSocket (`ws`, `wss`)."""
    tls: bool
    host: str
    port: int
    target: str
    """Path and query of the WebSocket handshake's request; without meaning for gRPC."""

    @property
    def authority(self) -> str:
        """What the `Host` header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def host_port(self) -> str:
        """Host and port as a proxy is asked for them, and as messages name them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


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


def parse_kas_address(text: str) -> KasAddress:
    """Read `ws://host[:port][/path]`, `wss://…`, `grpc://host[:port]` or `grpcs://…`.

    Raises:
        UserError: another scheme, or not an address.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UserError(f'malformed GitLab Kubernetes Agent Server address: "{text}": {error}') from error
    if parts.scheme not in _DEFAULT_PORTS:
        raise UserError(f'unsupported scheme in GitLab Kubernetes Agent Server address: "{parts.scheme}"')
    if not parts.hostname or parts.username or parts.password or parts.fragment:
        raise UserError("the kas address must be scheme://host[:port][/path], without credentials")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return KasAddress(
        grpc=parts.scheme.startswith("grpc"),
        tls=parts.scheme in {"wss", "grpcs"},
        host=parts.hostname,
        port=port if port is not None else _DEFAULT_PORTS[parts.scheme],
        target=target,
    )


def find_proxy(address: KasAddress, settings: ProxySettings) -> ProxyAddress | None:
    """The proxy to dial through, or None for a direct connection.

    Raises:
        UserError: the proxy's URL cannot be used.
    """
    secret = settings.https_proxy if address.tls or address.grpc else settings.http_proxy
    if address.grpc and not address.tls:
        secret = secret or settings.http_proxy
    if not secret or _is_excluded(address.host, address.port, settings.no_proxy):
        return None
    text = secret.reveal()
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme != "http" or not parts.hostname:
        raise UserError("only http:// proxies are supported in HTTPS_PROXY and HTTP_PROXY")
    credentials = ""
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return ProxyAddress(host=parts.hostname, port=parts.port or 80, credentials=Secret(credentials))


def _is_excluded(host: str, port: int, no_proxy: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if host == "localhost" or (address is not None and address.is_loopback):
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
