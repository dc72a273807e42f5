from __future__ import annotations

from typing import Any

from kasbah.kas.kubernetes_api.record import RequestRecord
from kasbah.kas.tracing.spans import Json, export_request, span_of
from tests.doubles import audited

TRACEPARENT = b"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def attributes(span: Json) -> dict[str, Any]:
    return {pair["key"]: next(iter(pair["value"].values())) for pair in span["attributes"]}


def ended(record: RequestRecord, status: int = 200, outcome: str = "completed") -> Json:
    record.status, record.outcome = status, outcome  # type: ignore[assignment]
    return span_of(record, now=record.started_at + 0.5, at=1000.25)


def test_a_span_belongs_to_the_clients_trace_and_is_the_parent_that_agentk_was_told():
    record = audited.record(b"GET /api/v1/pods", TRACEPARENT, given=audited.grant())
    span = ended(record)
    assert span["traceId"] == "0af7651916cd43dd8448eb211c80319c"
    assert span["spanId"] == record.request_id[:16]
    assert span["parentSpanId"] == "b7ad6b7169203331"
    assert "parentSpanId" not in ended(audited.record(b"GET /api/v1/pods", given=audited.grant()))


def test_a_span_says_what_was_asked_for_by_whom_and_how_long_it_took():
    exec_ = b"POST /api/v1/namespaces/web/pods/a/exec?command=canary"
    span = ended(audited.record(exec_, given=audited.grant()))
    assert span["name"] == "create pods/exec"
    assert (span["startTimeUnixNano"], span["endTimeUnixNano"]) == ("999750000000", "1000250000000")
    told = attributes(span)
    assert (told["http.request.method"], told["http.response.status_code"]) == ("POST", "200")
    assert (told["url.path"], told["enduser.id"]) == ("/api/v1/namespaces/web/pods/a/exec", "user:4")
    assert "canary" not in str(span)


def test_only_what_broke_on_our_side_of_the_answer_is_an_error():
    def code(status: int, outcome: str) -> int:
        return ended(audited.record(b"GET /api", given=audited.grant()), status, outcome)["status"].get(
            "code", 0
        )

    assert [code(404, "completed"), code(503, "refused"), code(200, "broken"), code(101, "cut")] == [
        0,
        2,
        2,
        0,
    ]


def test_who_was_not_let_in_has_no_name():
    assert "enduser.id" not in attributes(ended(audited.record(b"GET /api"), 401, "refused"))


def test_the_collector_is_told_who_speaks():
    (told,) = export_request([{"traceId": "a"}], version="1.2")["resourceSpans"]
    assert attributes(told["resource"]) == {"service.name": "kas", "service.version": "1.2"}
    assert told["scopeSpans"][0]["spans"] == [{"traceId": "a"}]
