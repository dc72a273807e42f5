"""What `kasbah up` serves https with: a certificate it is given, or one of the local authority."""

from __future__ import annotations

import ssl
from pathlib import Path

from kasbah.errors import UserError
from kasbah.kas.http_server.server import make_tls_context
from kasbah.kit import local_ca
from kasbah.up.flags import UpSettings


def ensure_certificate(settings: UpSettings) -> tuple[ssl.SSLContext, Path | None]:
    """The context for https, and the authority clients must be given, when it is ours.

    Raises:
        UserError: the certificate that was given cannot be used.
    """
    if settings.tls_cert is not None and settings.tls_key is not None:
        try:
            return make_tls_context(str(settings.tls_cert), str(settings.tls_key)), None
        except OSError as error:
            raise UserError(f"cannot use --tls-cert {settings.tls_cert}: {error}") from error
    named = [address.host for address in (settings.http, settings.https) if not address.is_every_host]
    files = local_ca.ensure_local_ca(settings.data, [*settings.hostnames, *named])
    return make_tls_context(str(files.certificate), str(files.key)), files.ca_certificate
