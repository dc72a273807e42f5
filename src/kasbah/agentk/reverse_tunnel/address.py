"""kas' address as `--kas-address` gives it, and whether a proxy stands before it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from kasbah.errors import UserError
from kasbah.kit import http_proxy
from kasbah.kit.http_proxy import ProxyAddress, ProxySettings

_DEFAULT_PORTS = {"ws": 80, "wss": 443, "grpc": 80, "grpcs": 443}


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


class KasAddressError(UserError):
    """The address of kas cannot be used."""


def parse_kas_address(text: str) -> KasAddress:
    """Read `ws://host[:port][/path]`, `wss://…`, `grpc://host[:port]` or `grpcs://…`.

    Raises:
        KasAddressError: another scheme, or not an address.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise KasAddressError(
            f'malformed GitLab Kubernetes Agent Server address: "{text}": {error}'
        ) from error
    if parts.scheme not in _DEFAULT_PORTS:
        raise KasAddressError(
            f'unsupported scheme in GitLab Kubernetes Agent Server address: "{parts.scheme}"'
        )
    if not parts.hostname or parts.username or parts.password or parts.fragment:
        raise KasAddressError("the kas address must be scheme://host[:port][/path], without credentials")
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
    if http_proxy.is_excluded(address.host, address.port, settings.no_proxy):
        return None
    return http_proxy.read(secret)
