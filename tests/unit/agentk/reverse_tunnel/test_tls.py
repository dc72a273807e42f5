"""Whom agentk trusts, and what it says it speaks."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from kasbah.agentk.reverse_tunnel import tls
from kasbah.agentk.reverse_tunnel.address import parse_kas_address
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.errors import PeerError, UserError
from tests.doubles.certificates import make_certificates


def settings(address: str = "wss://kas.example.com/", **more) -> ReverseTunnelSettings:
    return ReverseTunnelSettings(address=parse_kas_address(address), **more)


def test_certificates_are_checked_against_the_given_authority(tmp_path: Path):
    (tmp_path / "ca.crt").write_bytes(make_certificates().ca_pem)
    context = tls.tls_context(settings(ca_file=tmp_path / "ca.crt"))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert [name[-1][0][1] for name in (ca["subject"] for ca in context.get_ca_certs())] == ["test CA"]


def test_checking_is_off_only_when_told():
    context = tls.tls_context(settings(insecure_skip_tls_verify=True))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def test_http_2_has_only_the_ciphers_it_allows():
    names = [cipher["name"] for cipher in tls.tls_context(settings("grpcs://kas")).get_ciphers()]
    assert names
    assert all(name.startswith(("TLS_", "ECDHE-")) and "CBC" not in name for name in names)
    assert not [name for name in names if "SHA" in name and "GCM" not in name and "POLY" not in name]


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_an_authority_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None):
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot use the CA certificates in .*ca\.crt"):
        tls.tls_context(settings(ca_file=file))


def test_a_certificate_of_our_own_that_cannot_be_used_is_named(tmp_path: Path):
    (tmp_path / "own.crt").write_bytes(make_certificates().client_pem)
    (tmp_path / "own.key").write_bytes(b"no key")
    own = settings(client_certificate_file=tmp_path / "own.crt", client_key_file=tmp_path / "own.key")
    with pytest.raises(UserError, match=r"cannot use the client certificate .*own\.crt"):
        tls.tls_context(own)


def test_a_far_end_that_insists_on_http_1_is_told_from_one_that_does_not_say():
    tls._check_protocol("h2", "kas:443")
    tls._check_protocol(None, "kas:443")
    with pytest.raises(PeerError, match=r"kas:443 speaks http/1.1 and not HTTP/2: .*use wss://"):
        tls._check_protocol("http/1.1", "kas:443")
