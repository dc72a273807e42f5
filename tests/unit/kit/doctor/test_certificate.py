from __future__ import annotations

import ssl
from datetime import UTC, datetime

import pytest

from kasbah.kit.doctor import certificate
from kasbah.kit.doctor.certificate import Certificate, Trust
from tests.doubles.certificates import make_certificates

TRUST = Trust(remedy="give its PEM", authorities=("Our CA",))
DECODED = {
    "subject": ((("organizationName", "Example"),), (("commonName", "kas.example"),)),
    "issuer": ((("organizationName", "Example CA"),),),
    "notBefore": "Jan  1 00:00:00 2026 GMT",
    "notAfter": "Jan 11 00:00:00 2026 GMT",
    "subjectAltName": (("DNS", "kas.example"), ("IP Address", "10.0.0.1")),
}
SHOWN = certificate.read(DECODED)


def fault(code: int, shown: Certificate = SHOWN, *, proxied: bool = False) -> tuple[str, str]:
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, "as OpenSSL says"
    found = certificate.distrust(error, shown, TRUST, "kas.test", proxied=proxied)
    return found.fault, str(found)


def test_a_decoded_certificate_is_read():
    assert (SHOWN.subject, SHOWN.issuer, SHOWN.names) == (
        "kas.example",
        "Example CA",
        ("kas.example", "10.0.0.1"),
    )
    assert SHOWN.not_after == datetime(2026, 1, 11, tzinfo=UTC)


def test_nothing_is_read_from_nothing():
    assert certificate.read({}) == Certificate()


@pytest.mark.parametrize(("day", "soon"), [(5, False), (9, False), (10, True), (20, True)])
def test_the_last_tenth_of_its_life_is_soon(day: int, soon: bool):
    assert SHOWN.is_about_to_expire(datetime(2026, 1, day, 12, tzinfo=UTC)) is soon
    assert not Certificate().is_about_to_expire(datetime(2026, 1, day, tzinfo=UTC))


@pytest.mark.parametrize(
    ("code", "name", "told"),
    [
        (10, "tls-expired", "until 2026-01-11"),
        (9, "tls-not-yet-valid", "from 2026-01-01"),
        (62, "tls-wrong-name", "kas.example, 10.0.0.1"),
        (64, "tls-wrong-name", "kas.example, 10.0.0.1"),
        (20, "tls-unknown-authority", "'Example CA', and not by Our CA"),
        (19, "tls-unknown-authority", "as OpenSSL says"),
        (23, "tls-not-trusted", "as OpenSSL says"),
    ],
)
def test_each_reason_has_its_name_and_its_words(code: int, name: str, told: str):
    found, text = fault(code)
    assert found == name
    assert told in text


@pytest.mark.parametrize(
    "issuer", ["Zscaler Intermediate CA", "ACME TLS Inspection", "mitmproxy", "The Proxy"]
)
def test_who_opens_tls_is_known_by_its_name(issuer: str):
    assert fault(20, Certificate(issuer=issuer))[0] == "tls-intercepted"


def test_who_stands_behind_a_proxy_and_is_unknown_was_opened_by_it():
    assert fault(20, proxied=True)[0] == "tls-intercepted"


def test_a_certificate_that_could_not_be_looked_at_is_still_told_of():
    assert "unknown day" in fault(10, Certificate())[1]
    assert "no name" in fault(62, Certificate())[1]


def test_contexts_for_looking_verify_nothing_or_exactly_one():
    assert certificate.unverifying().verify_mode is ssl.CERT_NONE
    pem = make_certificates().ca_pem.decode()
    one = certificate.unverifying_but_this(ssl.PEM_cert_to_DER_cert(pem))
    assert one.verify_mode is ssl.CERT_REQUIRED
    assert certificate.authorities_of(one) == ("test CA",)
