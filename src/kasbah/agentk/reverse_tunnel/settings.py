"""How to reach kas."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path

from kasbah.agentk.reverse_tunnel.address import KasAddress
from kasbah.kit.http_proxy import ProxySettings


class TunnelChoice(enum.Enum):
    """Which tunnels agentk offers to kas."""

    AUTO = "auto"
    """Both: kas takes the best it knows."""
    NATIVE = "native"
    """Only ours."""
    GRPC = "grpc"
    """Only GitLab's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseTunnelSettings:
    address: KasAddress
    """Where kas is (`--kas-address`)."""
    tunnel: TunnelChoice = TunnelChoice.AUTO
    """What is offered in the WebSocket handshake (`--kas-tunnel`): to find out which of the two has a problem."""
    ca_file: Path | None = None
    """PEM certificates to trust instead of the system's (`--kas-ca-cert-file`)."""
    client_certificate_file: Path | None = None
    """Our certificate, for a kas behind mutual TLS (`--kas-client-cert-file`); read again for each connection."""
    client_key_file: Path | None = None
    """Its key (`--kas-client-key-file`)."""
    insecure_skip_tls_verify: bool = False
    """Trust any certificate (`--kas-insecure-skip-tls-verify`): for trials only."""
    tls_server_name: str = ""
    """The name the certificate must carry, when it is not the host's (`--kas-tls-server-name`)."""
    headers: tuple[tuple[str, str], ...] = ()
    """Added to the WebSocket handshake, or to each gRPC call (`--kas-header`)."""
    proxy: ProxySettings = field(default_factory=ProxySettings)
    connect_timeout_s: float = 30.0
    """For TCP, all addresses of the host together, in seconds."""
    tls_timeout_s: float = 10.0
    """For the TLS handshake, in seconds."""
    answer_timeout_s: float = 20.0
    """For a proxy's answer, and for the answer to the WebSocket handshake, in seconds."""
    dial_timeout_s: float = 60.0
    """From the first packet until kas has admitted us, in seconds."""
