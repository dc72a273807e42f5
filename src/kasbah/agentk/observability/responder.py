"""A tiny HTTP responder: one GET, one answer, goodbye.

For kubelet's probes and a metrics scraper, who need nothing more; and nothing more is understood, so there is little
to attack. Answers are functions that return at once.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast

MAX_HEAD_BYTES: Final = 8192
MAX_CONNECTIONS: Final = 64
HEAD_TIMEOUT_S: Final = 10.0

_REQUEST_LINE = re.compile(rb"(GET|HEAD) (/[\x21-\x7e]*) HTTP/1\.[01]")
_REASONS: Final = {
    200: b"OK",
    400: b"Bad Request",
    404: b"Not Found",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    503: b"Service Unavailable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"


Routes = Mapping[bytes, Callable[[], Answer]]


class Responder(asyncio.Protocol):
    """One connection."""

    def __init__(self, routes: Routes, connections: set[Responder]) -> None:
        self._routes = routes
        self._connections = connections
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HEAD_TIMEOUT_S, self._transport.abort)
        if len(self._connections) > MAX_CONNECTIONS:
            self._say(Answer(status=503), with_body=True)

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._received += data
        if b"\r\n\r\n" in self._received:
            self._answer(self._received)
        elif len(self._received) > MAX_HEAD_BYTES:
            self._say(Answer(status=431), with_body=True)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._connections.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()

    def _answer(self, head: bytes) -> None:
        match = _REQUEST_LINE.fullmatch(head.partition(b"\r\n")[0])
        if match is None:
            self._say(Answer(status=400), with_body=True)
            return
        route = self._routes.get(match[2].partition(b"?")[0])
        answer = route() if route is not None else Answer(status=404)
        self._say(answer, with_body=match[1] == b"GET")

    def _say(self, answer: Answer, *, with_body: bool) -> None:
        if self._transport is None:
            return
        head = b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (
            answer.status,
            _REASONS[answer.status],
            answer.content_type.encode(),
            len(answer.body),
        )
        self._transport.write(head + answer.body if with_body else head)
        self._transport.close()
