"""Answers the probes and Prometheus, on an address that only operators reach.

Readiness is whether the parts that kas needs are up; liveness only that the loop turns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from kasbah.kas.http_server.exchange import Client, Exchange, NullExchange
from kasbah.kas.observability.settings import ObservabilitySettings
from kasbah.wire.http1 import RequestHead

_NOBODY: Final = NullExchange()
_TEXT: Final = "text/plain; charset=utf-8"


class Probes:
    """The `Route` of the observability address."""

    def __init__(
        self, why_not_ready: Callable[[], str], settings: ObservabilitySettings | None = None
    ) -> None:
        """`why_not_ready` answers an empty text when kas is ready."""
        paths = settings or ObservabilitySettings()
        self._why_not_ready = why_not_ready
        self._metrics = paths.metrics_path.encode()
        self._liveness = paths.liveness_path.encode()
        self._readiness = paths.readiness_path.encode()
        self._hint = f"try {paths.metrics_path}, {paths.liveness_path} or {paths.readiness_path}\n".encode()

    def __call__(self, head: RequestHead, client: Client) -> Exchange:
        path = head.target.partition(b"?")[0]
        if head.method not in {b"GET", b"HEAD"}:
            _answer(head, client, b"405 Method Not Allowed", b"")
        elif path == self._metrics:
            _answer(head, client, b"200 OK", generate_latest(), CONTENT_TYPE_LATEST)
        elif path == self._liveness:
            _answer(head, client, b"200 OK", b"")
        elif path == self._readiness:
            reason = self._why_not_ready().encode()
            _answer(head, client, b"500 Internal Server Error" if reason else b"200 OK", reason)
        else:
            _answer(head, client, b"404 Not Found", self._hint)
        return _NOBODY


def _answer(head: RequestHead, client: Client, status: bytes, body: bytes, content_type: str = _TEXT) -> None:
    bodiless = head.method == b"HEAD"
    client.start(
        b"HTTP/1.1 %b\r\nContent-Type: %b\r\n" % (status, content_type.encode()), len(body), bodiless=bodiless
    )
    if body and not bodiless:
        client.write(body)
    client.finish()
