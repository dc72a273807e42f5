from __future__ import annotations

from kasbah.kas.kubernetes_api.record import RequestRecord
from kasbah.kas.kubernetes_api.tap import NoRecorder
from kasbah.wire import http1, request_policy


def test_nobody_hears_anything_unless_told_to():
    head = http1.request_head(b"GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer pat:7:good\r\n\r\n")
    record = RequestRecord(request_policy.prepare(head, 0), "127.0.0.1", b"")
    assert NoRecorder().tap(record, b"HTTP/1.1 101 Switching Protocols\r\n\r\n") is None
