from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import msgspec
import pytest
import structlog

from kasbah.kas.tracing import exporter as exporter_module
from kasbah.kas.tracing.exporter import DROPPED, SENT, SpanExporter, open_exporter
from kasbah.kas.tracing.settings import TracingSettings
from kasbah.kit.secrets import Secret
from kasbah.kit.tasks import alongside
from tests.doubles import audited

pytestmark = pytest.mark.asyncio
ENDPOINT = "http://collector:4318/v1/traces"


class Collector(httpx2.AsyncBaseTransport):
    """Takes spans, or answers with its status."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.requests: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.requests.append(request)
        return httpx2.Response(self.status, request=request)

    @property
    def spans(self) -> list[dict[str, Any]]:
        bodies = [msgspec.json.decode(request.content) for request in self.requests]
        return [s for body in bodies for s in body["resourceSpans"][0]["scopeSpans"][0]["spans"]]


def exporter(collector: Collector, **settings: Any) -> SpanExporter:
    made = TracingSettings(otlp_endpoint=ENDPOINT, **{"period_s": 0.001, **settings})
    return SpanExporter(made, version="1", transport=collector)


def request(*lines: bytes) -> Any:
    return audited.record(b"GET /api/v1/pods", *lines, given=audited.grant())


async def test_ended_requests_are_sent():
    collector = Collector()
    spans, before = exporter(collector, token=Secret("t")), SENT._value.get()
    async with alongside(spans.run()):
        record = request()
        spans.ended(record)
        while SENT._value.get() == before:  # noqa: ASYNC110 - there is nothing to wait on
            await asyncio.sleep(0.001)
    assert [span["spanId"] for span in collector.spans] == [record.request_id[:16]]
    sent = collector.requests[0]
    assert (str(sent.url), sent.headers["Authorization"]) == (ENDPOINT, "Bearer t")


async def test_what_is_left_is_sent_at_the_end():
    collector = Collector()
    spans = exporter(collector, period_s=3600)
    async with alongside(spans.run()):
        await asyncio.sleep(0)
        for _ in range(600):
            spans.ended(request())
    assert (len(collector.requests), len(collector.spans)) == (2, 600)


async def test_a_trace_that_its_client_does_not_collect_is_not_sent():
    collector = Collector()
    spans = exporter(collector, period_s=3600)
    trace = b"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-%b"
    async with alongside(spans.run()):
        await asyncio.sleep(0)
        spans.ended(request(trace % b"00"))
        spans.ended(request(trace % b"01"))
    assert len(collector.spans) == 1


async def test_what_waits_has_a_bound():
    before = DROPPED._value.get()
    spans = exporter(Collector(), max_waiting=2)
    for _ in range(5):
        spans.ended(request())
    assert DROPPED._value.get() - before == 3


async def test_a_collector_that_refuses_costs_spans_and_one_line_without_its_url():
    collector, before = Collector(503), DROPPED._value.get()
    spans = exporter(collector)
    with structlog.testing.capture_logs() as logs:
        async with alongside(spans.run()):
            for count in (1, 2):
                spans.ended(request())
                while DROPPED._value.get() - before < count:  # noqa: ASYNC110 - there is nothing to wait on
                    await asyncio.sleep(0.001)
    assert [(line["event"], line["error"]) for line in logs] == [
        ("spans not sent", "the collector answered 503")
    ]


@pytest.mark.parametrize("period_s", [3600, 0.001], ids=["asleep", "sending"])
async def test_a_collector_that_hangs_holds_up_the_end_no_longer_than_a_second(
    period_s: float, monkeypatch: pytest.MonkeyPatch
):
    class Hanging(Collector):
        asked: asyncio.Event

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            self.asked.set()
            await asyncio.Event().wait()
            raise AssertionError

    assert exporter_module._LAST_S == 1.0
    monkeypatch.setattr(exporter_module, "_LAST_S", 0.02)
    collector, before = Hanging(), DROPPED._value.get()
    collector.asked = asyncio.Event()
    spans = exporter(collector, period_s=period_s)
    async with asyncio.timeout(2), alongside(spans.run()):
        await asyncio.sleep(0)
        spans.ended(request())
        if period_s < 1:
            await collector.asked.wait()
    assert DROPPED._value.get() - before == 1


@pytest.mark.parametrize("error", [httpx2.InvalidURL("no"), OSError("no"), httpx2.ConnectError("no")])
async def test_no_failure_of_the_network_ends_the_exporter(error: Exception):
    class Broken(Collector):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise error

    before = DROPPED._value.get()
    spans = exporter(Broken())
    with structlog.testing.capture_logs() as logs:
        async with asyncio.timeout(5), alongside(spans.run()):
            for count in (1, 2):
                spans.ended(request())
                while DROPPED._value.get() - before < count:  # noqa: ASYNC110 - there is nothing to wait on
                    await asyncio.sleep(0.001)
    assert [line["error"] for line in logs] == [f"the collector cannot be reached: {type(error).__name__}"]


async def test_without_an_endpoint_there_is_none():
    assert open_exporter(TracingSettings(), version="1") is None
    assert open_exporter(TracingSettings(otlp_endpoint=ENDPOINT), version="1") is not None
