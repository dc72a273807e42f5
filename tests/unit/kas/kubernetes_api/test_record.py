from __future__ import annotations

import pytest

from kasbah.kas.kubernetes_api.record import NoJournal, ObservedJournal, RequestRecord
from kasbah.wire import http1, request_policy

TOKEN = b"Authorization: Bearer pat:7:good"


def record(line: bytes, *lines: bytes) -> RequestRecord:
    head = http1.request_head(b"\r\n".join((line + b" HTTP/1.1", b"Host: a", TOKEN, *lines, b"", b"")))
    return RequestRecord(request_policy.prepare(head, 0), "192.0.2.1", b"kubectl")


@pytest.mark.parametrize(
    ("line", "mutating"),
    [
        (b"GET /api/v1/pods", False),
        (b"GET /api/v1/pods?watch=1", False),
        (b"HEAD /healthz", False),
        (b"POST /api/v1/namespaces", True),
        (b"DELETE /api/v1/namespaces/a/pods", True),
        (b"PATCH /api/v1/namespaces/a", True),
        (b"GET /api/v1/namespaces/a/services/b/proxy/x", True),
        (b"DELETE /api/v1/watch/namespaces/a/pods/b", True),
        (b"PUT /somewhere", True),
    ],
)
def test_what_may_change_something_is_known(line, mutating):
    assert record(line).mutating == mutating


def test_every_upgrade_may_change_something():
    exec_ = b"GET /api/v1/namespaces/a/pods/b/exec"
    assert record(exec_, b"Connection: Upgrade", b"Upgrade: SPDY/3.1").mutating


def test_each_request_has_a_name_and_belongs_to_a_trace():
    first, second = record(b"GET /version"), record(b"GET /version")
    assert len(first.request_id) == 32
    assert first.request_id != second.request_id
    assert first.trace_id == first.request_id
    trace = b"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert record(b"GET /version", trace).trace_id == "0af7651916cd43dd8448eb211c80319c"


class _Listener(NoJournal):
    def __init__(self) -> None:
        self.heard: list[object] = []

    def begun(self, record: RequestRecord) -> None:
        self.heard.append("begun")

    def ended(self, record: RequestRecord) -> None:
        self.heard.append("ended")

    def turned_away(self, head: http1.RequestHead, client_address: str, status: int) -> None:
        self.heard.append(status)


def test_an_observer_hears_of_ends_alone():
    journal, observer = _Listener(), _Listener()
    both = ObservedJournal(journal, [observer])
    one = record(b"DELETE /api/v1/namespaces/a")
    both.begun(one)
    assert both.answered(one, None)
    both.ended(one)
    both.turned_away(None, "", 401)
    assert journal.heard == ["begun", "ended", 401]
    assert observer.heard == ["ended", 401]
