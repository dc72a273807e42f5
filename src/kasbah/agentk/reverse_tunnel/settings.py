"""How to reach kas."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kasbah.agentk.reverse_tunnel.address import KasAddress, ProxySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseTunnelSettings:
    address: KasAddress
    """Where kas is (`--kas-address`)."""
    ca_file: Path | None = None
    """PEM certificates to trust instead of the system's (`--kas-ca-cert-file`)."""
    insecure_skip_tls_verify: bool = False
    """Trust any certificate (`--kas-insecure-skip-tls-verify`): for trials only."""
    tls_server_name: str = ""
    """The name the certificate must carry, when it is not the host's (`--kas-tls-server-name`)."""
    headers: tuple[tuple[str, str], ...] = ()
    """Added to the handshake (`--kas-header`)."""
    proxy: ProxySettings = field(default_factory=ProxySettings)
    dial_timeout_s: float = 30.0
    """From the first packet to kas' greeting, in seconds."""
