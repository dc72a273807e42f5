"""How to reach one API server and as whom: address, TLS, authorization, and an identity to impersonate.

Made once from a kubeconfig, flags or the pod's service account, then only read; a bearer token in a file is the one
thing that changes while a process runs. A credential belongs to the API server's origin and to nothing else.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import structlog

from kasbah.errors import UserError
from kasbah.kit.secrets import Secret
from kasbah.wire.identity import AsAgent, Identity

_log = structlog.get_logger()
_TOKEN = re.compile(r"[\x21-\x7e]+")


class Authorization(Protocol):
    """The value of the `Authorization` header, which may change while the process runs."""

    @property
    def value(self) -> Secret | None:
        """The value now; None sends no such header."""

    def refresh(self) -> bool:
        """Look again at where it comes from; whether it changed."""


@dataclass(frozen=True, slots=True)
class FixedAuthorization:
    """Nothing, a token or a password that stays as it is."""

    value: Secret | None = None

    def refresh(self) -> bool:
        return False


class TokenFile:
    """A bearer token in a file that somebody rotates (kubelet does, before the token expires)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._value = bearer(_read_token(path))

    @property
    def value(self) -> Secret:
        return self._value

    def refresh(self) -> bool:
        """Read the file again; a file that cannot be read keeps the last good token."""
        try:
            value = bearer(_read_token(self._path))
        except UserError as error:
            _log.warning("token file cannot be read again", error=str(error))
            return False
        changed = value != self._value
        self._value = value
        return changed


def bearer(token: str) -> Secret:
    """The header's value for a bearer token.

    Raises:
        UserError: the token cannot stand in a header.
    """
    if _TOKEN.fullmatch(token) is None:
        raise UserError("the bearer token for the API server is empty or holds blanks or line breaks")
    return Secret(f"Bearer {token}")


def basic(username: str, password: str) -> Secret:
    """The header's value for a user name and a password."""
    return Secret("Basic " + base64.b64encode(f"{username}:{password}".encode()).decode())


def _read_token(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the token file {path}: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """What a kubeconfig says about TLS, files already read."""

    ca_pem: bytes = b""
    """Empty: the system's roots."""
    certificate_pem: bytes = b""
    """The client certificate with its chain; empty: none."""
    key_pem: bytes = field(default=b"", repr=False)
    """The key of the client certificate."""
    insecure_skip_verify: bool = False
    """Trust any certificate: for trials only."""
    server_name: str = ""
    """The name the certificate must carry; empty: the host's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAccess:
    """One API server and the credentials for it."""

    host: str
    port: int
    base_path: str = ""
    """Stands before every path, without a slash at its end (Rancher and others need it)."""
    tls: ssl.SSLContext | None = None
    """None: plain HTTP."""
    server_name: str = ""
    """The name the certificate must carry."""
    authorization: Authorization = FixedAuthorization()
    identity: Identity = field(default_factory=AsAgent)
    """Whom this process itself impersonates in everything it does (`--as`)."""
    namespace: str = "default"

    @property
    def authority(self) -> str:
        """The `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls is not None else 80) else f"{host}:{self.port}"


def cluster_access(
    server: str,
    *,
    tls: TlsSettings,
    authorization: Authorization,
    identity: Identity | None = None,
    namespace: str = "default",
) -> ClusterAccess:
    """Put it together.

    Raises:
        UserError: the address or the certificates cannot be used.
    """
    secure, host, port, base_path = _split_address(server)
    if not secure and (tls.certificate_pem or authorization.value is not None):
        _log.warning("credentials for the api server travel unencrypted", server=f"{host}:{port}")
    return ClusterAccess(
        host=host,
        port=port,
        base_path=base_path,
        tls=tls_context(tls) if secure else None,
        server_name=tls.server_name or host,
        authorization=authorization,
        identity=identity or AsAgent(),
        namespace=namespace,
    )


def _split_address(server: str) -> tuple[bool, str, int, str]:
    try:
        parts = urlsplit(server if "://" in server else f"http://{server}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UserError(f"the API server's address {server!r} is not a URL: {error}") from error
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment or parts.username:
        raise UserError(
            f"the API server's address must look like https://HOST:PORT, without user, query or fragment; "
            f"got {parts.scheme}://{parts.hostname}"
        )
    secure = parts.scheme == "https"
    return secure, host, port or (443 if secure else 80), parts.path.rstrip("/")


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """TLS as client-go does it: any given certificate is an anchor, HTTP/1.1 only.

    Raises:
        UserError: a certificate or a key cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # Go trusts any certificate it was given, self-signed leaves and intermediates too, and does not ask a private
    # CA for the extensions that Python 3.13 began to demand; cluster CAs of years ago lack them.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    if settings.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.ca_pem:
        _load_roots(context, settings.ca_pem)
    else:
        context.load_default_certs()
    if settings.certificate_pem:
        _load_client_certificate(context, settings)
    return context


def _load_roots(context: ssl.SSLContext, pem: bytes) -> None:
    try:
        context.load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise UserError(
            "the certificate authority of the API server is not PEM: look at certificate-authority(-data)"
        ) from error


def _load_client_certificate(context: ssl.SSLContext, settings: TlsSettings) -> None:
    if not settings.key_pem:
        raise UserError("a client certificate was given without its key: add client-key(-data)")
    try:
        with _as_file(settings.certificate_pem + b"\n" + settings.key_pem) as path:
            # An empty password keeps OpenSSL from asking a terminal for the one of an encrypted key.
            context.load_cert_chain(path, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise UserError(
            "the client certificate and its key do not fit together, are encrypted, or are not PEM"
        ) from error


@contextlib.contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """OpenSSL wants a path; memory gives one where the system can, so that a key never lies on a disk."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("kasbah", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, data)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile() as file:  # mode 0600
            file.write(data)
            file.flush()
            yield file.name
