"""TLS to kas: whom we trust, who we are, and what we speak inside."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from kasbah.agentk.reverse_tunnel.head_reader import HeadReader
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.errors import PeerError, UserError
from kasbah.kit.tls_transport import TlsTransport

_HTTP2_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""With TLS 1.2; what else there is, HTTP/2 forbids (RFC 9113 9.2.2)."""


def tls_context(settings: ReverseTunnelSettings) -> ssl.SSLContext:
    """The context for `wss` and `grpcs`; reads the files as they are now.

    Raises:
        UserError: a file cannot be read or does not hold what it should.
    """
    context = _trusting(settings)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.address.grpc:
        context.set_ciphers(_HTTP2_CIPHERS)
    context.set_alpn_protocols(["h2" if settings.address.grpc else "http/1.1"])
    if settings.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.client_certificate_file is not None:
        _load_own_certificate(context, settings)
    return context


def _trusting(settings: ReverseTunnelSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UserError(f"cannot use the CA certificates in {settings.ca_file}: {error}") from error


def _load_own_certificate(context: ssl.SSLContext, settings: ReverseTunnelSettings) -> None:
    try:
        context.load_cert_chain(str(settings.client_certificate_file), settings.client_key_file)
    except (OSError, ssl.SSLError) as error:
        raise UserError(
            f"cannot use the client certificate {settings.client_certificate_file} with its key: {error}"
        ) from error


async def secure(
    transport: asyncio.Transport,
    reader: HeadReader,
    context: ssl.SSLContext,
    settings: ReverseTunnelSettings,
) -> tuple[asyncio.Transport, HeadReader]:
    """Speak TLS from here on.

    Raises:
        PeerError: kas' certificate is not good, kas refuses ours, or the far end does not speak what we need.
    """
    address = settings.address
    inner = HeadReader()
    tls = TlsTransport(context, settings.tls_server_name or address.host, inner)
    tls.connection_made(transport)
    reader.hand_over(transport, lambda: tls)
    try:
        await tls.secured()
    except ssl.SSLCertVerificationError as error:
        raise PeerError(
            f"the certificate of {address.host_port} is not trusted: {error.verify_message}; "
            "give its authority with --kas-ca-cert-file",
            retryable=True,
        ) from error
    except OSError as error:
        plain = isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER"
        hint = "; is it a port without TLS (ws:// or grpc://)?" if plain else ""
        raise PeerError(f"TLS with {address.host_port} failed: {error}{hint}", retryable=True) from error
    if address.grpc:
        _check_protocol(tls.get_extra_info("ssl_object").selected_alpn_protocol(), address.host_port)
    return tls, inner


def _check_protocol(chosen: str | None, where: str) -> None:
    """Whoever chose nothing may still speak HTTP/2: proxies that only end TLS do not choose."""
    if chosen not in {"h2", None}:
        raise PeerError(
            f"{where} speaks {chosen} and not HTTP/2: is it kas' own port? Behind a web server, use wss://",
            retryable=True,
        )
