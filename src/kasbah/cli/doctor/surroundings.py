"""What the environment says about the way: proxies and trust, as kubectl and our own commands read them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult

from kasbah.cli.doctor.context import KubeContext
from kasbah.cli.hosts import Host
from kasbah.errors import UserError
from kasbah.kit import http_proxy
from kasbah.kit.doctor import certificate
from kasbah.kit.doctor.certificate import Trust
from kasbah.kit.doctor.way import Way
from kasbah.kit.secrets import Secret

_REMEDY: Final = (
    "log in again with `kasbah login --ca-file FILE` (or set KASBAH_CA_FILE), its PEM in that file"
)


def way_to_hub(host: Host, url: SplitResult, environ: Mapping[str, str]) -> Way:
    """As our commands go: what the host was stored with is trusted beside the system's authorities."""
    context = ssl.create_default_context()
    if host.ca_certificate:
        _trust(context, host)
    return _way("hub", host, url, environ, context if url.scheme == "https" else None)


def way_to_kas(host: Host, url: SplitResult, environ: Mapping[str, str]) -> Way:
    """As kubectl goes with the kubeconfig that we write: the stored authority alone is trusted, if there is one."""
    context = ssl.create_default_context(cadata=host.ca_certificate or None)
    return _way("kas", host, url, environ, context if url.scheme == "https" else None)


def way_of_context(context: KubeContext, url: SplitResult, environ: Mapping[str, str]) -> Way:
    """As kubectl goes with this context.

    Raises:
        UserError: its authority cannot be used.
    """
    host = Host(url=context.server, token=Secret(""), ca_certificate=context.ca_pem)
    if context.ca_pem:
        _trust(ssl.create_default_context(), host)
    way = way_to_kas(host, url, environ)
    remedy = f"write its PEM into certificate-authority-data of {context.file}"
    way.trust = Trust(remedy=remedy, authorities=way.trust.authorities)
    way.server_name = context.server_name or way.server_name
    if context.insecure and way.context is not None:
        way.context = certificate.unverifying()
    return way


def _trust(context: ssl.SSLContext, host: Host) -> None:
    try:
        context.load_verify_locations(cadata=host.ca_certificate)
    except ssl.SSLError as error:
        raise UserError(
            f"the certificate authority of {host.url} is not valid PEM: {error.reason}"
        ) from error


def _way(
    name: str, host: Host, url: SplitResult, environ: Mapping[str, str], context: ssl.SSLContext | None
) -> Way:
    hostname, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    variable = "HTTPS_PROXY" if url.scheme == "https" else "HTTP_PROXY"
    value = Secret(_variable(environ, variable))
    # Python's HTTP clients, with which our commands ask the hub, go through the proxy even to this machine.
    direct = http_proxy.is_excluded(hostname, port, _variable(environ, "NO_PROXY"), own_machine=name != "hub")
    return Way(
        name=name,
        host=hostname,
        port=port,
        context=context,
        server_name=hostname,
        trust=Trust(remedy=_REMEDY, authorities=_stored_authorities(host)),
        proxy=None if direct else http_proxy.read(value),
        proxy_says=_proxy_says(variable, hostname, given=bool(value), direct=direct),
        protocol="",
    )


def _stored_authorities(host: Host) -> tuple[str, ...]:
    if not host.ca_certificate:
        return ()
    return certificate.authorities_of(ssl.create_default_context(cadata=host.ca_certificate))


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.lower(), "")


def _proxy_says(variable: str, host: str, *, given: bool, direct: bool) -> str:
    if not given:
        return f"{variable} is not set"
    return f"{variable} is set, but {host} is dialled directly" if direct else f"because of {variable}"


def proxy_secrets(environ: Mapping[str, str]) -> list[Secret]:
    """What must not be shown of the environment."""
    names = ("HTTPS_PROXY", "HTTP_PROXY", "KASBAH_TOKEN")
    found = [Secret(_variable(environ, name)) for name in names]
    passwords = [proxy.credentials for proxy in map(_readable, found[:2]) if proxy is not None]
    return [*found, *passwords]


def _readable(value: Secret) -> http_proxy.ProxyAddress | None:
    try:
        return http_proxy.read(value)
    except UserError:
        return None
