"""The looks at kas' Kubernetes API before anybody shows a credential."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult

from kasbah.kit.doctor import http_faults
from kasbah.kit.doctor.check import Check, FaultError, Finding
from kasbah.kit.doctor.link import Answer
from kasbah.kit.doctor.way import Way
from kasbah.wire.kubernetes_status import is_from_kas


class KasHops:
    """One kas, named by the hub's metadata or a kubeconfig."""

    def __init__(self, url: SplitResult, way: Way) -> None:
        self._url = url
        self._way = way

    def checks(self, *needs: str) -> list[Check]:
        """In order; the last one is `kas.refuses`."""
        return [
            Check(
                name="kas.address",
                doing="read its address",
                look=self._look_at_address,
                needs=needs,
            ),
            *self._way.checks("kas.address"),
            Check(
                name="kas.refuses",
                doing="ask without a credential, which it must refuse",
                look=self._look_at_refusal,
                needs=(self._way.last,),
            ),
        ]

    async def _look_at_address(self) -> Finding:
        if self._url.scheme == "https":
            return Finding(seen=self._url.geturl())
        seen = f"{self._url.geturl()} is not https"
        advice = (
            "kubectl sends no credential without TLS: give kas a certificate, and its https URL to the hub"
        )
        if not _is_here(self._url.hostname or ""):  # nor does the doctor, where others can listen
            raise FaultError("kas-without-tls", seen, advice)
        return Finding(seen=seen, warning="kas-without-tls", advice=advice)

    async def _look_at_refusal(self) -> Finding:
        target = f"{self._url.path.rstrip('/')}/version"
        lines = [f"GET {target} HTTP/1.1", f"Host: {self._url.netloc}", "User-Agent: kasbah-doctor"]
        lines += ["Accept: application/json", "Connection: close"]
        return judge_refusal(await self._way.ask(("\r\n".join(lines) + "\r\n\r\n").encode()), target)


def _is_here(host: str) -> bool:
    """Whether what is sent to this host stays on the machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def judge_refusal(answer: Answer, target: str) -> Finding:
    """Whether it was kas that refused a request without a credential.

    Raises:
        FaultError: it was not.
    """
    if answer.status == 401 and is_from_kas(answer.headers, answer.body):
        return Finding(seen=f"kas ({answer.who}) refuses a request without a credential, as it must")
    if answer.status == 400 and is_from_kas(answer.headers, answer.body):
        raise FaultError(
            "http-wrong-path",
            f"kas answers, but {target} is not below its prefix",
            "correct `external_k8s_proxy_url` on the Git side, or the path that the proxy before kas passes on",
        )
    api_server = b'"gitVersion"' in answer.body if answer.status == 200 else b'"Status"' in answer.body
    if answer.status in {200, 401, 403} and api_server:
        raise FaultError(
            "kas-foreign-server",
            f"{answer.summary}: an API server or another proxy answers for {target}, and not kas",
            "correct the address of kas on the Git side, or what the proxy before it passes on",
        )
    raise http_faults.of(answer, server="kas", target=target)
