from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kasbah.errors import UserError
from kasbah.kit.secrets import Secret
from kasbah.kube.access import (
    ClusterAccess,
    FixedAuthorization,
    TlsSettings,
    TokenFile,
    basic,
    bearer,
    cluster_access,
    tls_context,
)
from tests.doubles.certificates import make_certificates

NOBODY = FixedAuthorization()


def access(server: str, tls: TlsSettings | None = None) -> ClusterAccess:
    return cluster_access(server, tls=tls or TlsSettings(), authorization=NOBODY)


@pytest.mark.parametrize(
    ("server", "authority", "base_path"),
    [
        ("https://10.0.0.1:6443", "10.0.0.1:6443", ""),
        ("https://api.example.com", "api.example.com", ""),
        ("https://rancher.example.com/k8s/clusters/c-1/", "rancher.example.com", "/k8s/clusters/c-1"),
        ("https://[::1]:6443", "[::1]:6443", ""),
        ("http://localhost:8001", "localhost:8001", ""),
        ("localhost:8001", "localhost:8001", ""),
    ],
)
def test_an_address_is_split(server: str, authority: str, base_path: str):
    made = access(server)
    assert (made.authority, made.base_path) == (authority, base_path)
    assert (made.tls is not None) == server.startswith("https")


@pytest.mark.parametrize(
    "server", ["ftp://x", "https://", "https://u:p@h", "https://h/?a=b", "https://h:99999"]
)
def test_an_address_that_is_none_is_refused_without_its_password(server: str):
    with pytest.raises(UserError) as caught:
        access(server)
    assert "u:p" not in str(caught.value)


def test_a_bearer_token_must_fit_a_header():
    assert bearer("abc").reveal() == "Bearer abc"
    for bad in ("", "a b", "a\nb", "ä"):
        with pytest.raises(UserError, match="bearer token"):
            bearer(bad)


def test_basic_authorization_is_base64():
    assert basic("user", "pässword").reveal() == "Basic dXNlcjpww6Rzc3dvcmQ="


def test_a_rotated_token_file_is_read_again(tmp_path: Path):
    path = tmp_path / "token"
    path.write_text("first\n")
    token = TokenFile(path)
    assert not token.refresh()
    path.write_text("second")
    assert token.refresh()
    assert token.value == Secret("Bearer second")


def test_a_token_file_that_vanishes_keeps_the_last_token(tmp_path: Path):
    path = tmp_path / "token"
    path.write_text("first")
    token = TokenFile(path)
    path.unlink()
    with capture_logs() as logs:
        assert not token.refresh()
    assert token.value == Secret("Bearer first")
    assert logs[0]["event"] == "token file cannot be read again"


def test_credentials_over_plain_http_are_warned_about():
    with capture_logs() as logs:
        cluster_access("http://h", tls=TlsSettings(), authorization=FixedAuthorization(bearer("t")))
    assert logs[0]["event"] == "credentials for the api server travel unencrypted"


def test_a_given_authority_replaces_the_systems():
    context = tls_context(TlsSettings(ca_pem=make_certificates().ca_pem))
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) == 1
    assert context.verify_flags & ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN


def test_verification_can_be_switched_off():
    assert tls_context(TlsSettings(insecure_skip_verify=True)).verify_mode == ssl.CERT_NONE


def test_a_client_certificate_is_loaded_without_a_file():
    made = make_certificates()
    tls_context(TlsSettings(certificate_pem=made.client_pem, key_pem=made.client_key_pem))


@pytest.mark.parametrize(
    "tls",
    [
        TlsSettings(ca_pem=b"not pem"),
        TlsSettings(ca_pem=b"\xff"),
        TlsSettings(certificate_pem=b"a certificate"),
        TlsSettings(certificate_pem=b"a certificate", key_pem=b"a key"),
    ],
)
def test_certificates_that_cannot_be_read_are_refused(tls: TlsSettings):
    with pytest.raises(UserError):
        tls_context(tls)


def test_a_key_is_not_shown():
    assert "secret" not in repr(TlsSettings(key_pem=b"secret"))
