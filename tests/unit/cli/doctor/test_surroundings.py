from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kasbah.cli.doctor import surroundings
from kasbah.cli.doctor.context import KubeContext
from kasbah.cli.hosts import Host
from kasbah.errors import UserError
from kasbah.kit.secrets import Secret
from tests.doubles.certificates import make_certificates

HOST = Host(url="https://git.example", token=Secret("glpat-x"))
OWN = HOST._replace(ca_certificate=make_certificates().ca_pem.decode())
PROXIES = {"HTTPS_PROXY": "http://mia:pw12@proxy.example:3128", "no_proxy": "kas.example"}


def test_the_hub_trusts_the_stored_authority_beside_the_systems_and_kas_it_alone():
    hub = surroundings.way_to_hub(OWN, urlsplit(OWN.url), {})
    kas = surroundings.way_to_kas(OWN, urlsplit("https://kas.example/k8s-proxy/"), {})
    assert hub.trust.authorities == kas.trust.authorities == ("test CA",)
    assert kas.context is not None
    assert len(kas.context.get_ca_certs()) == 1


def test_http_has_no_tls_and_port_80():
    way = surroundings.way_to_hub(HOST, urlsplit("http://git.example"), {})
    assert (way.context, way.port, way.last) == (None, 80, "hub.tcp")


@pytest.mark.parametrize(
    ("url", "environ", "told"),
    [
        ("https://git.example", {}, "HTTPS_PROXY is not set"),
        ("http://git.example", PROXIES, "HTTP_PROXY is not set"),
        ("https://git.example", PROXIES, "because of HTTPS_PROXY"),
        ("https://kas.example", PROXIES, "HTTPS_PROXY is set, but kas.example is dialled directly"),
        ("https://127.0.0.1", PROXIES, "HTTPS_PROXY is set, but 127.0.0.1 is dialled directly"),
    ],
)
def test_why_there_is_a_proxy_or_none_is_told(url: str, environ: dict[str, str], told: str):
    assert surroundings.way_to_kas(HOST, urlsplit(url), environ).proxy_says == told


def test_our_own_client_asks_the_proxy_even_for_this_machine():
    assert surroundings.way_to_hub(HOST, urlsplit("https://127.0.0.1"), PROXIES).proxy is not None


def test_an_authority_that_is_none_is_a_persons_error():
    broken = HOST._replace(ca_certificate="-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    with pytest.raises(UserError, match="not valid PEM"):
        surroundings.way_to_hub(broken, urlsplit(HOST.url), {})


def test_the_proxys_password_is_a_secret():
    secrets = [
        secret.reveal() for secret in surroundings.proxy_secrets(PROXIES | {"KASBAH_TOKEN": "glpat-y"})
    ]
    assert {PROXIES["HTTPS_PROXY"], "mia:pw12", "glpat-y"} <= set(secrets)
    assert surroundings.proxy_secrets({"HTTPS_PROXY": "socks5://proxy.example"})


def test_a_context_brings_its_own_trust_and_name():
    context = KubeContext(
        name="c",
        file=Path("config"),
        server="https://kas.example",
        ca_pem=OWN.ca_certificate,
        server_name="kas",
    )
    way = surroundings.way_of_context(context, urlsplit(context.server), {})
    assert (way.server_name, way.trust.authorities) == ("kas", ("test CA",))
    assert "certificate-authority-data of config" in way.trust.remedy
    trusting = surroundings.way_of_context(replace(context, insecure=True), urlsplit(context.server), {})
    assert trusting.context is not None
    assert trusting.context.verify_mode is ssl.CERT_NONE
