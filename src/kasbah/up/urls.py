"""Where `kasbah up` is found from outside, and how it says so once it is ready."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import structlog

from kasbah.kas.http_server.router import AGENT_PATH, PROXY_PREFIX
from kasbah.up.ground import Addresses

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicUrls:
    """Where we are found from outside."""

    http: str
    https: str
    grpc: str
    external: str
    """What links are built from."""
    kas_address: str
    """What agentk is given."""
    k8s_proxy: str
    """What kubectl is given."""


def public_urls(addresses: Addresses, external_url: str) -> PublicUrls:
    """`external_url` is what a proxy in front is called; empty without one."""
    http, https = f"http://{addresses.http.address}", f"https://{addresses.https.address}"
    external = external_url or https
    agents = external_url or http  # agentk on this machine needs no certificate authority then
    return PublicUrls(
        http=http,
        https=https,
        grpc=f"grpc://{addresses.grpc.address}",
        external=external,
        kas_address=agents.replace("http", "ws", 1) + AGENT_PATH.decode(),
        k8s_proxy=external + PROXY_PREFIX.decode(),
    )


def announce(data: Path, urls: PublicUrls, ca_file: Path | None) -> None:
    """One JSON line on stdout: scripts wait for it. A person gets the next command."""
    line = {
        "http": urls.http,
        "https": urls.https,
        "grpc": urls.grpc,
        "kas_address": urls.kas_address,
        "k8s_proxy": urls.k8s_proxy,
        "ca_file": str(ca_file or ""),
        "root_token_file": str(data / "root-token"),
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
    _log.info("ready", url=urls.external)
    if sys.stderr.isatty():
        sys.stderr.write(f"\nReady. Next, in another terminal:\n\n  {login_command(data, urls, ca_file)}\n\n")


def login_command(data: Path, urls: PublicUrls, ca_file: Path | None) -> str:
    """The command to type next."""
    words = ["kasbah", "login", "--url", urls.external, "--token-file", str(data / "root-token")]
    return shlex.join([*words, "--ca-file", str(ca_file)] if ca_file else words)
