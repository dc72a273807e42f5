from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from typing import Any

import pytest

from kasbah.kit.doctor import way as module
from kasbah.kit.doctor.certificate import Certificate, Trust
from kasbah.kit.doctor.check import FaultError
from kasbah.kit.doctor.way import Way
from kasbah.kit.http_proxy import ProxyAddress
from kasbah.kit.secrets import Secret

PROXY = ProxyAddress(host="proxy.example", port=3128, credentials=Secret("mia:pw"))


def way(**changes: Any) -> Way:
    given: dict[str, Any] = {
        "name": "kas",
        "host": "kas.example",
        "port": 443,
        "context": None,
        "server_name": "kas.example",
        "trust": Trust(remedy="give its PEM"),
    }
    return Way(**given | changes)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ["proxy", "dns", "tcp"]),
        ({"context": ssl.create_default_context()}, ["proxy", "dns", "tcp", "tls"]),
        ({"proxy": PROXY}, ["proxy", "dns", "tcp", "connect"]),
        (
            {"proxy": PROXY, "context": ssl.create_default_context()},
            ["proxy", "dns", "tcp", "connect", "tls"],
        ),
    ],
)
def test_each_hop_needs_the_one_before(changes: dict[str, Any], names: list[str]):
    checks = way(**changes).checks("login")
    assert [check.name for check in checks] == [f"kas.{name}" for name in names]
    assert [check.needs for check in checks] == [("login",), *((check.name,) for check in checks[:-1])]
    assert way(**changes).last == checks[-1].name


def test_the_next_hop_is_the_proxy_if_there_is_one():
    assert way().next_hop == ("kas.example", 443)
    assert way(proxy=PROXY).next_hop == ("proxy.example", 3128)
    assert way(host="::1").where == "[::1]:443"


@pytest.mark.asyncio
async def test_the_proxy_is_told_without_its_password():
    look = way(proxy=PROXY, proxy_says="because of HTTPS_PROXY").checks()[0].look
    seen = (await look()).seen
    assert seen == "proxy.example:3128 with a user name and a password, because of HTTPS_PROXY"


@pytest.mark.asyncio
async def test_a_name_that_cannot_be_one_is_no_host():
    with pytest.raises(FaultError) as found:
        await way(host="a" * 64 + ".example").checks()[1].look()
    assert found.value.fault == "dns-no-such-name"


@pytest.mark.parametrize(
    ("number", "fault"),
    [(socket.EAI_NONAME, "dns-no-such-name"), (socket.EAI_AGAIN, "dns-no-answer")],
)
def test_no_such_name_and_no_answer_are_two_things(number: int, fault: str):
    assert module._no_address("kas.example", socket.gaierror(number, "told so")).fault == fault


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ([errno.ECONNREFUSED], "tcp-refused"),
        ([errno.ENETUNREACH, errno.ECONNREFUSED], "tcp-refused"),
        ([errno.ETIMEDOUT], "tcp-no-answer"),
        ([errno.ENETUNREACH], "tcp-no-route"),
        ([0], "tcp-no-route"),
    ],
)
def test_why_nobody_was_reached_has_a_name(numbers: list[int], fault: str):
    problems = {f"10.0.0.{n}": OSError(number, "as it is") for n, number in enumerate(numbers)}
    assert module._unreachable("kas.example", 443, problems).fault == fault


@pytest.mark.parametrize(
    ("reason", "fault"),
    [
        ("WRONG_VERSION_NUMBER", "tls-not-tls"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "tls-client-certificate"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "tls-failed"),
    ],
)
def test_why_tls_failed_has_a_name(reason: str, fault: str):
    error = ssl.SSLError(1, reason)
    error.reason = reason
    assert module._no_tls("kas.example:443", error).fault == fault
    assert module._no_tls("kas.example:443", ConnectionResetError()).fault == "tls-failed"


@pytest.mark.parametrize(
    ("credentials", "status", "fault"),
    [
        ("", "407 Proxy Authentication Required", "proxy-wants-password"),
        ("mia:pw", "407 Proxy Authentication Required", "proxy-wrong-password"),
        ("", "403 Forbidden", "proxy-refuses"),
        ("", "504 Gateway Timeout", "proxy-no-way"),
    ],
)
def test_why_the_proxy_gives_no_way_has_a_name(credentials: str, status: str, fault: str):
    proxy = ProxyAddress(host="proxy.example", port=3128, credentials=Secret(credentials))
    assert module._proxy_refusal(proxy, "kas.example:443", f"HTTP/1.1 {status}").fault == fault


def test_a_certificate_that_nobody_verified_is_told_of():
    assert way()._trusted(Certificate(), "TLSv1.3").warning == "tls-not-verified"


@pytest.mark.asyncio
async def test_a_dead_address_beside_a_living_one_is_told_of(monkeypatch: pytest.MonkeyPatch):
    async def reach(address: module.Address) -> Any:
        if address[1][0] == "10.0.0.2":
            raise ConnectionRefusedError(errno.ECONNREFUSED, "no")
        return None

    async def closing(_: object) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(module, "_reach", reach)
    monkeypatch.setattr(module, "closing", closing)
    looked_at = way(addresses=[(socket.AF_INET, (f"10.0.0.{n}", 443)) for n in (1, 2)])
    finding = await looked_at.checks()[2].look()
    assert finding.warning == "tcp-some-addresses"
    assert "10.0.0.2: connection refused" in finding.seen
    assert [address[0] for _, address in looked_at.addresses] == ["10.0.0.1"]
