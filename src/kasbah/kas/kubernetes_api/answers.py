"""Answers that kas says itself, and those of a cluster that wait for something before the client gets them."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

from kasbah.kas.http_server.exchange import Client
from kasbah.wire import kubernetes_status, response_policy
from kasbah.wire.http1 import RequestHead
from kasbah.wire.kubernetes_status import Failure
from kasbah.wire.response_policy import SECURITY_HEADERS, ClientResponse

REQUESTS: Final = Counter(
    "kasbah_kas_kubernetes_api_requests",
    "Proxied requests by the answer the client got",
    ["status_class", "said_by"],
)
BY_CLUSTER: Final = [REQUESTS.labels(f"{n}xx", "cluster") for n in range(10)]
_BY_US: Final = [REQUESTS.labels(f"{n}xx", "kas") for n in range(10)]


REFUSAL_S: Final = 5.0
"""How long a 403 is collected; one that takes longer passes as it came."""


class HeldAnswer:
    """An answer that waits for its record, and what has come of it meanwhile: at most the stream's window."""

    __slots__ = ("answer", "data", "ended")

    def __init__(self, answer: ClientResponse | bytes) -> None:
        self.answer = answer
        self.data: list[bytes] = []
        self.ended = False


class Refusal:
    """A cluster's 403 whose body is being collected."""

    __slots__ = ("answer", "body")

    def __init__(self, answer: ClientResponse) -> None:
        self.answer = answer
        self.body = bytearray()


def answer_failure(head: RequestHead, client: Client, failure: Failure, cors: bytes = b"") -> None:
    """Say a failure to this client as a whole answer."""
    status = kubernetes_status.render(
        failure, accept=head.value(b"accept"), user_agent=head.value(b"user-agent")
    )
    _BY_US[status.code // 100].inc()
    lines = [b"HTTP/1.1 %d %b\r\n" % (status.code, response_policy.reason_of(status.code))]
    lines.append(b"Content-Type: %b\r\n" % status.content_type.encode())
    if failure.code == 401:
        lines.append(b"Gitlab-Unauthorized: true\r\n")
    if failure.retry_after_s:
        lines.append(b"Retry-After: %d\r\n" % failure.retry_after_s)
    lines += [SECURITY_HEADERS, b"Server: kasbah-kas\r\n", cors]
    bodiless = head.method == b"HEAD"
    client.start(b"".join(lines), len(status.body), bodiless=bodiless)
    if not bodiless:
        client.write(status.body)
    client.finish()
