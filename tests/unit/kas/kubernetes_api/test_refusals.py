from __future__ import annotations

from kasbah.kas.kubernetes_api import grant
from kasbah.kas.kubernetes_api.refusals import NoExplainer
from kasbah.wire import http1, request_policy
from tests.doubles.people import access_of_mia


def test_nothing_may_be_added():
    head = http1.request_head(b"GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer pat:7:good\r\n\r\n")
    granted = grant.issue("g", access_of_mia(), deadline_ms=1)
    assert NoExplainer().explain(granted, request_policy.prepare(head, 0), b"application/json", b"{}") is None
