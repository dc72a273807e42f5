"""What a server's certificate says, and why it is not trusted.

OpenSSL decodes certificates only once they were verified; `unverifying` contexts below are for looking at one that
was not, and nothing is ever sent over a connection made with them.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from kasbah.kit.doctor.check import FaultError

_NO_CHECK_TIME: Final = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME."""
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21, 24, 26, 7})
_WRONG_NAME: Final = frozenset({62, 64})
_INSPECTORS: Final = re.compile(
    r"zscaler|netskope|palo ?alto|forti(net|gate)|blue ?coat|symantec web|umbrella|sophos|mcafee|kaspersky|bitdefender"
    r"|check ?point|barracuda|sonicwall|websense|forcepoint|squid|mitm|charles proxy|burp|fiddler|untangle|smoothwall"
    r"|inspect|intercept|decrypt|\bproxy\b|firewall|\bdpi\b",
    re.IGNORECASE,
)
"""Names of those that open TLS on its way, and words that they choose for themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A server's certificate."""

    subject: str = ""
    issuer: str = ""
    names: tuple[str, ...] = ()
    """Those it is good for."""
    not_before: datetime | None = None
    not_after: datetime | None = None

    def is_about_to_expire(self, now: datetime) -> bool:
        """In the last tenth of its life, which is well after the time to renew it."""
        if self.not_before is None or self.not_after is None:
            return False
        return self.not_after - now < (self.not_after - self.not_before) / 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom a connection trusts, in a person's words."""

    remedy: str
    """How to trust another authority: `give its PEM with --kas-ca-cert-file`."""
    authorities: tuple[str, ...] = ()
    """The names of those it was told to trust; empty: the system's."""


def read(decoded: Mapping[str, Any]) -> Certificate:
    """What `getpeercert()` gave."""
    return Certificate(
        subject=_name(decoded.get("subject", ())),
        issuer=_name(decoded.get("issuer", ())),
        names=tuple(str(value) for _, value in decoded.get("subjectAltName", ())),
        not_before=_time(decoded.get("notBefore")),
        not_after=_time(decoded.get("notAfter")),
    )


def _name(parts: Any) -> str:
    """The common name, or whatever else there is."""
    fields = {key: value for part in parts for key, value in part}
    return str(fields.get("commonName") or fields.get("organizationName") or "")


def _time(text: str | None) -> datetime | None:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC) if text else None


def authorities_of(context: ssl.SSLContext) -> tuple[str, ...]:
    """The names of the authorities that a context holds."""
    return tuple(_name(decoded.get("subject", ())) for decoded in context.get_ca_certs())


def unverifying() -> ssl.SSLContext:
    """Takes any certificate, to get its bytes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def unverifying_but_this(certificate: bytes) -> ssl.SSLContext:
    """Takes exactly the certificate with these bytes, whoever signed it and whenever, so that it is decoded."""
    context = unverifying()
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags |= _NO_CHECK_TIME
    context.load_verify_locations(cadata=certificate)
    return context


def distrust(
    error: ssl.SSLCertVerificationError, certificate: Certificate, trust: Trust, host: str, *, proxied: bool
) -> FaultError:
    """Why the certificate of `host` was not taken; `proxied`: the way leads through an HTTP proxy."""
    code = error.verify_code
    if code in _UNKNOWN_AUTHORITY:
        return _unknown_authority(error, certificate, trust, host, proxied=proxied)
    if code == _EXPIRED:
        return FaultError(
            "tls-expired",
            f"the certificate of {host} (or one of its authority) has expired: it was good until "
            f"{_day(certificate.not_after)}",
            "renew it on the server; if it is good there, this machine's clock is wrong",
        )
    if code == _NOT_YET_VALID:
        return FaultError(
            "tls-not-yet-valid",
            f"the certificate of {host} is good from {_day(certificate.not_before)} on only",
            "set this machine's clock right, or the clock of whoever made the certificate",
        )
    if code in _WRONG_NAME:
        good_for = ", ".join(certificate.names[:8]) or certificate.subject or "no name"
        return FaultError(
            "tls-wrong-name",
            f"the certificate of {host} is good for {good_for}, and not for this name",
            "use a name that the certificate has, or give the server a certificate with this one",
        )
    return FaultError(
        "tls-not-trusted", f"the certificate of {host} is not trusted: {error.verify_message}", trust.remedy
    )


def _unknown_authority(
    error: ssl.SSLCertVerificationError, certificate: Certificate, trust: Trust, host: str, *, proxied: bool
) -> FaultError:
    issuer = certificate.issuer or "nobody"
    told = f", and not by {' or '.join(trust.authorities[:3])}" if trust.authorities else ""
    if proxied or _INSPECTORS.search(issuer):
        return FaultError(
            "tls-intercepted",
            f"the certificate shown for {host} is signed by {issuer!r}{told}: something in between opens TLS",
            f"let it pass {host} unopened; or, if it may read this, {trust.remedy} (the authority {issuer!r})",
        )
    own = " itself" if certificate.issuer == certificate.subject else ""
    return FaultError(
        "tls-unknown-authority",
        f"the certificate of {host} is signed by {issuer!r}{own}{told}: {error.verify_message}",
        f"if that is its authority, {trust.remedy}; if it is not, something in between opens TLS",
    )


def _day(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC" if time else "an unknown day"
