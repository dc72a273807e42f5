"""The local certificate authority: made once, renewed in time, left alone when good."""

from __future__ import annotations

import datetime as dt
import ssl
import stat
from ipaddress import ip_address

import pytest
from cryptography import x509

from kasbah.kit.local_ca import LocalCertificateError, ensure_local_ca

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def names_in(path):
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*names.get_values_for_type(x509.DNSName), *names.get_values_for_type(x509.IPAddress)}


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_keys_are_private_and_the_certificates_are_not(tmp_path):
    ensure_local_ca(tmp_path, [], now=NOW)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"ca.crt": 0o644, "ca.key": 0o600, "tls.crt": 0o644, "tls.key": 0o600}


def test_the_certificate_names_this_machine_and_what_was_asked(tmp_path):
    files = ensure_local_ca(tmp_path, ["Kasbah.Example.org", "10.1.2.3", "[fd00::1]"], now=NOW)

    expected = {"localhost", "kasbah.example.org", ip_address("127.0.0.1"), ip_address("::1")}
    assert expected | {ip_address("10.1.2.3"), ip_address("fd00::1")} <= names_in(files.certificate)


def test_a_tls_handshake_between_the_files_succeeds(tmp_path):
    files = ensure_local_ca(tmp_path, [])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    client = ssl.create_default_context(cafile=str(files.ca_certificate))

    assert handshake(client, server, "127.0.0.1") == "TLSv1.3"


def handshake(client_context, server_context, name):
    """A handshake in memory; raises what the client would raise."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return client.version()


def test_nothing_changes_while_everything_is_good(tmp_path):
    ensure_local_ca(tmp_path, ["a.example"], now=NOW)
    before = contents(tmp_path)

    ensure_local_ca(tmp_path, ["a.example"], now=NOW + dt.timedelta(days=300))

    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("names", "later"), [(["a.example"], 368), (["b.example"], 0)], ids=["it ends soon", "names changed"]
)
def test_the_server_certificate_is_renewed_and_the_authority_kept_when(tmp_path, names, later):
    ensure_local_ca(tmp_path, ["a.example"], now=NOW)
    before = contents(tmp_path)

    ensure_local_ca(tmp_path, names, now=NOW + dt.timedelta(days=later))

    after = contents(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {"tls.crt", "tls.key"}


@pytest.mark.parametrize("lost", ["tls.crt", "tls.key"])
def test_half_a_pair_is_made_again(tmp_path, lost):
    ensure_local_ca(tmp_path, [], now=NOW)
    (tmp_path / lost).write_bytes(b"half a fi")

    files = ensure_local_ca(tmp_path, [], now=NOW)

    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.certificate, files.key)


def test_a_key_without_its_authority_is_what_a_kill_leaves_and_is_replaced(tmp_path):
    ensure_local_ca(tmp_path, [], now=NOW)
    (tmp_path / "ca.crt").unlink()
    (tmp_path / ".ca.crt.1.abcd.tmp").write_bytes(b"half")

    files = ensure_local_ca(tmp_path, [], now=NOW)

    assert files.ca_certificate.exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("content", [b"", b"not a key"])
def test_an_authority_without_its_key_is_a_persons_to_judge(tmp_path, content):
    ensure_local_ca(tmp_path, [], now=NOW)
    (tmp_path / "ca.key").write_bytes(content)

    with pytest.raises(LocalCertificateError, match=r"restore it, or remove .*ca\.crt"):
        ensure_local_ca(tmp_path, [], now=NOW)


def test_somebody_elses_key_is_refused(tmp_path):
    ensure_local_ca(tmp_path / "ours", [], now=NOW)
    ensure_local_ca(tmp_path / "theirs", [], now=NOW)
    (tmp_path / "theirs" / "ca.key").replace(tmp_path / "ours" / "ca.key")

    with pytest.raises(LocalCertificateError, match="is not the key of"):
        ensure_local_ca(tmp_path / "ours", [], now=NOW)


def test_an_expired_authority_is_said_to_be_so(tmp_path):
    ensure_local_ca(tmp_path, [], now=NOW)

    with pytest.raises(LocalCertificateError, match="has expired"):
        ensure_local_ca(tmp_path, [], now=NOW + dt.timedelta(days=3651))


@pytest.mark.parametrize("name", ["https://kasbah.example", "a b", "ü.example", "host:8443"])
def test_a_name_no_certificate_can_bear_is_refused(tmp_path, name):
    with pytest.raises(LocalCertificateError, match="neither a host name nor an address"):
        ensure_local_ca(tmp_path, [name], now=NOW)
