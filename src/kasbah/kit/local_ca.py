"""A certificate authority of one machine's own, for `https` without anybody's help.

kubectl sends no credentials over plain http, so a public surface needs a certificate even on a laptop. This room makes
an authority once and a server certificate from it, renews the latter before it ends and when its names change, and
leaves files alone that are still good. Safe when killed midway: each file is written whole, keys before the
certificates that need them, and a pair that does not match is made again.

Loads `cryptography`, so callers import it late. Knows nothing of servers or settings.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kasbah.errors import UserError
from kasbah.kit import private_file

CA_LIFETIME: Final = dt.timedelta(days=3650)
SERVER_LIFETIME: Final = dt.timedelta(days=397)
"""The most that Apple's and Chromium's verifiers accept for a server."""
RENEW_BEFORE: Final = dt.timedelta(days=30)
_CLOCK_SKEW: Final = dt.timedelta(hours=1)
_MAX_COMMON_NAME: Final = 64

_Address = IPv4Address | IPv6Address
_Names = frozenset[str | _Address]


class LocalCertificateError(UserError):
    """The files of the local certificate authority cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCertificates:
    """Where the files are: give `certificate` and `key` to a server, `ca_certificate` to its clients."""

    ca_certificate: Path
    certificate: Path
    """The server's certificate followed by the authority's."""
    key: Path


def ensure_local_ca(
    directory: Path, names: Sequence[str], *, now: dt.datetime | None = None
) -> LocalCertificates:
    """Make or renew what is missing or ends soon, for this machine's own names and the given names and addresses.

    A second process doing the same waits for the first. Blocking: milliseconds when nothing is to do.
    """
    moment = now or dt.datetime.now(dt.UTC)
    private_file.make_directory(directory)
    files = LocalCertificates(
        ca_certificate=directory / "ca.crt", certificate=directory / "tls.crt", key=directory / "tls.key"
    )
    wanted = _own_names() | {_parse_name(name.strip()) for name in names if name.strip()}
    with _lock(directory):
        _remove_leftovers(directory)
        authority = _ensure_authority(directory, moment)
        if not _server_is_good(files, authority, wanted, moment):
            _issue_server(files, authority, wanted, moment)
    return files


@dataclass(frozen=True, slots=True, kw_only=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@contextmanager
def _lock(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_leftovers(directory: Path) -> None:
    """Half-written files of a process that was killed; the lock says that nobody is writing now."""
    for pattern in (".ca.*.tmp", ".tls.*.tmp"):
        for leftover in directory.glob(pattern):
            leftover.unlink(missing_ok=True)


def _ensure_authority(directory: Path, now: dt.datetime) -> _Authority:
    certificate_file, key_file = directory / "ca.crt", directory / "ca.key"
    if certificate_file.exists():
        return _load_authority(certificate_file, key_file, now)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign_authority(key, now)
    # The key first: a certificate that clients may have copied is never without its key.
    private_file.write(key_file, _key_pem(key))
    private_file.write(certificate_file, _pem(certificate), mode=private_file.PUBLIC_MODE)
    return _Authority(certificate=certificate, key=key)


def _load_authority(certificate_file: Path, key_file: Path, now: dt.datetime) -> _Authority:
    # A broken authority is a person's to judge: replacing it in silence would break every client that trusts it.
    advice = f"restore it, or remove {certificate_file} to have a new authority made"
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = _load_key(key_file)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise LocalCertificateError(
            f"cannot use the local authority in {key_file.parent}: {error}; {advice}"
        ) from error
    if certificate.public_key() != key.public_key():
        raise LocalCertificateError(f"{key_file} is not the key of {certificate_file}; {advice}")
    if certificate.not_valid_after_utc <= now:
        raise LocalCertificateError(f"{certificate_file} has expired; {advice}, then log in again with it")
    return _Authority(certificate=certificate, key=key)


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UnsupportedAlgorithm(f"{path.name} holds another kind of key")
    return key


def _sign_authority(key: ec.EllipticCurvePrivateKey, now: dt.datetime) -> x509.Certificate:
    # The serial in the name keeps two authorities of one machine apart in a trust store.
    serial = x509.random_serial_number()
    name = _name(f"Kasbah local CA {serial:x}"[:_MAX_COMMON_NAME])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        _builder(name, name, key.public_key(), serial=serial)
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(certificate_sign=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def _server_is_good(files: LocalCertificates, authority: _Authority, names: _Names, now: dt.datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        key = _load_key(files.key)
        certificate.verify_directly_issued_by(authority.certificate)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
        return False  # made again from the authority; nobody else depends on it
    return (
        certificate.public_key() == key.public_key()
        and certificate.not_valid_after_utc - now > RENEW_BEFORE
        and certificate.not_valid_before_utc <= now
        and _names_of(certificate) == names
    )


def _issue_server(files: LocalCertificates, authority: _Authority, names: _Names, now: dt.datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign_server(key, authority, names, now)
    private_file.write(files.key, _key_pem(key))
    chain = _pem(certificate) + _pem(authority.certificate)
    private_file.write(files.certificate, chain, mode=private_file.PUBLIC_MODE)


def _sign_server(
    key: ec.EllipticCurvePrivateKey,
    authority: _Authority,
    names: _Names,
    now: dt.datetime,
) -> x509.Certificate:
    alternatives = [
        x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)
        for name in sorted(names, key=str)
    ]
    subject = _name("Kasbah")
    issuer_identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    end = min(now + SERVER_LIFETIME, authority.certificate.not_valid_after_utc)
    return (
        _builder(subject, authority.certificate.subject, key.public_key())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(certificate_sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(issuer_identifier, critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, *, serial: int | None = None
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial or x509.random_serial_number())
    )


def _key_usage(*, certificate_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificate_sign,
        key_cert_sign=certificate_sign,
        crl_sign=certificate_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _own_names() -> _Names:
    loopback: list[str | _Address] = ["localhost", ip_address("127.0.0.1"), ip_address("::1")]
    with suppress(LocalCertificateError):  # a machine may bear a name that no certificate can
        loopback.append(_parse_name(socket.gethostname()))
    return frozenset(loopback)


def _parse_name(name: str) -> str | _Address:
    with suppress(ValueError):
        return ip_address(name.strip("[]"))
    ascii_name = name.rstrip(".").lower()
    if not ascii_name.isascii() or not ascii_name or any(c.isspace() or c in "/:@" for c in ascii_name):
        raise LocalCertificateError(
            f"{name!r} is neither a host name nor an address; give one a certificate can name"
        )
    return ascii_name


def _names_of(certificate: x509.Certificate) -> _Names:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    addresses = (a for a in names.get_values_for_type(x509.IPAddress) if isinstance(a, _Address))
    return frozenset([*names.get_values_for_type(x509.DNSName), *addresses])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
