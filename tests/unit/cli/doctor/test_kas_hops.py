from __future__ import annotations

import ssl
from urllib.parse import urlsplit

import pytest

from kasbah.cli.doctor.kas_hops import KasHops, judge_refusal
from kasbah.cli.doctor.surroundings import way_to_kas
from kasbah.cli.hosts import Host
from kasbah.kit.doctor.check import FaultError
from kasbah.kit.doctor.link import Answer
from kasbah.kit.secrets import Secret

HOST = Host(url="https://git.example", token=Secret("glpat-x"))
OF_KAS = {"gitlab-unauthorized": "true"}


def hops(url: str) -> KasHops:
    return KasHops(urlsplit(url), way_to_kas(HOST, urlsplit(url), {}))


def test_nothing_is_looked_at_before_the_hub_has_named_it():
    checks = hops("https://kas.example/k8s-proxy/").checks("hub.metadata")
    assert (checks[0].needs, checks[-1].name, checks[-1].needs) == (
        ("hub.metadata",),
        "kas.refuses",
        ("kas.tls",),
    )


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("url", "warning"),
    [
        ("https://kas.example/", ""),
        ("http://127.0.0.1:8080/", "kas-without-tls"),
        ("http://[::1]/", "kas-without-tls"),
        ("http://localhost/", "kas-without-tls"),
    ],
)
async def test_without_tls_kubectl_sends_no_credential(url: str, warning: str):
    assert (await hops(url).checks()[0].look()).warning == warning


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["kas.example", "10.0.0.1", "localhost.example", "[fd00::1]"])
async def test_nor_does_the_doctor_where_others_can_listen(host: str):
    with pytest.raises(FaultError) as caught:
        await hops(f"http://{host}/").checks()[0].look()
    assert caught.value.fault == "kas-without-tls"


def test_kas_refuses_who_shows_nothing():
    assert "as it must" in judge_refusal(Answer(status=401, headers=OF_KAS), "/version").seen


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Answer(status=400, body=b'{"message":"GitLab Agent Server: Bad request"}'), "http-wrong-path"),
        (Answer(status=401, body=b'{"kind":"Status"}'), "kas-foreign-server"),
        (Answer(status=200, body=b'{"gitVersion":"v1.36.0"}'), "kas-foreign-server"),
        (Answer(status=401), "http-not-let-in"),
        (Answer(status=404), "http-wrong-path"),
        (Answer(status=502), "http-gateway"),
    ],
)
def test_whoever_else_answers_has_a_name(answer: Answer, fault: str):
    with pytest.raises(FaultError) as found:
        judge_refusal(answer, "/version")
    assert found.value.fault == fault


def test_the_system_trusts_what_nobody_stored():
    context = way_to_kas(HOST, urlsplit("https://kas.example"), {}).context
    assert isinstance(context, ssl.SSLContext)
