"""Sends spans to a collector now and then: bounded, and never in a request's way.

What the collector does not take is dropped and counted; it is asked again with the next spans.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import httpx2
import msgspec
import structlog
from prometheus_client import Counter

from kasbah.kas.kubernetes_api.record import NoJournal, RequestRecord
from kasbah.kas.tracing.settings import TracingSettings
from kasbah.kas.tracing.spans import Json, export_request, span_of

_log = structlog.get_logger()
SENT: Final = Counter("kasbah_kas_tracing_sent_spans", "Spans the collector of traces took")
DROPPED: Final = Counter("kasbah_kas_tracing_dropped_spans", "Spans that were not sent")
_AT_ONCE: Final = 512
_LAST_S: Final = 1.0
"""A collector that hangs holds up the end of kas no longer than this."""
_SAMPLED: Final = 1
_FAILURES: Final = (
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.CookieConflict,
    httpx2.StreamError,
    OSError,
)


class SpanExporter(NoJournal):
    """Hears of ends and tells a collector; `run` it."""

    def __init__(
        self, settings: TracingSettings, *, version: str, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        """`transport` is the network, or stands in for it."""
        self._settings = settings
        self._version = version
        self._transport = transport
        self._spans: list[Json] = []
        self._failing = False

    async def run(self) -> None:
        """Send until cancelled, and then what is left, as far as a second goes."""
        settings = self._settings
        async with httpx2.AsyncClient(
            verify=settings.tls or True,
            trust_env=False,
            timeout=settings.timeout_s,
            transport=self._transport,
            headers=_headers(settings),
        ) as collector:
            try:
                while True:
                    await asyncio.sleep(settings.period_s)
                    await self._send(collector)
            finally:
                await asyncio.shield(self._send_last(collector))

    def ended(self, record: RequestRecord) -> None:
        request = record.request
        if request.trace_id and not int(request.trace_flags, 16) & _SAMPLED:
            return  # whoever began the trace does not collect it
        if len(self._spans) >= self._settings.max_waiting:
            DROPPED.inc()
            return
        self._spans.append(span_of(record, now=time.monotonic(), at=time.time()))

    async def _send(self, collector: httpx2.AsyncClient) -> None:
        while self._spans:
            spans, self._spans = self._spans[:_AT_ONCE], self._spans[_AT_ONCE:]
            body = msgspec.json.encode(export_request(spans, version=self._version))
            try:
                answer = await collector.post(self._settings.otlp_endpoint, content=body)
                answer.raise_for_status()
            except asyncio.CancelledError:
                self._spans[:0] = spans
                raise
            except _FAILURES as error:
                self._refused(error, len(spans))
                return
            SENT.inc(len(spans))
            self._failing = False

    async def _send_last(self, collector: httpx2.AsyncClient) -> None:
        try:
            async with asyncio.timeout(_LAST_S):
                await self._send(collector)
        except TimeoutError:
            DROPPED.inc(len(self._spans))

    def _refused(self, error: Exception, spans: int) -> None:
        DROPPED.inc(spans)
        if not self._failing:
            _log.warning("spans not sent", error=_why(error))
        self._failing = True


def open_exporter(settings: TracingSettings, *, version: str) -> SpanExporter | None:
    """The exporter, when somebody collects."""
    return SpanExporter(settings, version=version) if settings.otlp_endpoint else None


def _why(error: Exception) -> str:
    """Without the URL, which may hold a password."""
    if isinstance(error, httpx2.HTTPStatusError):
        return f"the collector answered {error.response.status_code}"
    return f"the collector cannot be reached: {type(error).__name__}"


def _headers(settings: TracingSettings) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "User-Agent": "kasbah-kas"}
    token = settings.token.reveal()
    return {**headers, "Authorization": f"Bearer {token}"} if token else headers
