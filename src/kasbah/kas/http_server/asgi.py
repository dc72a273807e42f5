"""Answers requests with an ASGI 3 application: the `http` scope, bodies streamed with back-pressure both ways.

Each request is one task in the bridge's TaskGroup. A client that leaves becomes `http.disconnect`, and what the
application still sends is refused with `ClientGoneError`; the task itself runs to its end, so a push that is being
stored is not torn. Knows nothing about the application but that contract, and one word of its own in it: an application
that has found a credential good sets `authenticated` in the scope's `state`, and the client is no stranger any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import structlog
from prometheus_client import Counter

from kasbah.errors import Bug
from kasbah.kas.http_server.clock import CoarseClock
from kasbah.kas.http_server.exchange import Client
from kasbah.wire.http1 import RequestHead

_log = structlog.get_logger()
_QUEUED_BODY_BYTES = 256 * 1024
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
# The machine's own business; an application cannot frame for it.
_OUR_HEADERS: Final = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"})

REQUESTS: Final = Counter(
    "kasbah_kas_http_asgi_requests", "Requests answered by the hub behind the public server", ["status_class"]
)
_BY_CLASS: Final = {n: REQUESTS.labels(f"{n}xx") for n in range(1, 6)}

Message = MutableMapping[str, Any]
Application = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


class ClientGoneError(OSError):
    """The client left before its answer was complete (ASGI asks for an OSError here)."""


class AsgiBridge:
    """Makes exchanges that an ASGI application answers; `run` it before requests come."""

    def __init__(self, application: Application, clock: CoarseClock, *, root_path: str = "") -> None:
        self._application = application
        self._clock = clock
        self._root_path = root_path
        self._group: asyncio.TaskGroup | None = None

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Own the requests' tasks until cancelled; requests that run then are cancelled with it."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                ready()
                await asyncio.Event().wait()
            finally:
                self._group = None

    def exchange(self, head: RequestHead, client: Client) -> AsgiExchange:
        """Answer this request with the application."""
        state: dict[str, Any] = {}
        exchange = AsgiExchange(head, client, self._clock, state)
        if self._group is None:
            exchange.refuse(503, b"the server is starting or stopping; try again\n")
        else:
            scope = _scope(head, client, self._root_path) | {"state": state}
            self._group.create_task(self._answer(exchange, scope), name="asgi request")
        return exchange

    async def _answer(self, exchange: AsgiExchange, scope: MutableMapping[str, Any]) -> None:
        try:
            await self._application(scope, exchange.receive, exchange.send)
        except ClientGoneError:
            pass
        except Exception as error:  # noqa: BLE001 - the border: one broken request must not end the server
            _log.exception("a request crashed", path=scope["path"], error=str(error))
        exchange.application_ended()


def _scope(head: RequestHead, client: Client, root_path: str) -> dict[str, Any]:
    path, _, query = head.target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.0" if head.http_1_0 else "1.1",
        "method": head.method.decode("ascii"),
        "scheme": "https" if client.secure else "http",
        "path": unquote_to_bytes(path).decode("utf-8", "surrogateescape"),
        "raw_path": path,
        "query_string": query,
        "root_path": root_path,
        "headers": list(head.headers),
        "client": [client.address, 0] if client.address else None,
        "server": None,
    }


class AsgiExchange:
    """One request between the connection machine and the application's task."""

    __slots__ = (
        "_answered",
        "_bodiless",
        "_body",
        "_body_complete",
        "_body_wanted",
        "_client",
        "_clock",
        "_content_length",
        "_end_delivered",
        "_gone",
        "_head",
        "_lines",
        "_paused",
        "_queued",
        "_reader",
        "_started",
        "_state",
        "_status",
        "_writer",
        "open_ended",
    )

    def __init__(
        self, head: RequestHead, client: Client, clock: CoarseClock, state: Mapping[str, Any]
    ) -> None:
        self.open_ended = False
        self._state = state
        self._head = head
        self._client = client
        self._clock = clock
        self._body: list[bytes] = []
        self._queued = 0
        self._paused = False
        self._body_wanted = False
        self._body_complete = not head.has_body
        self._gone = False
        self._answered = False
        self._started = False
        self._status = 0
        self._lines = b""
        self._bodiless = False
        self._content_length: int | None = None
        self._end_delivered = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    # From the machine.

    def body_received(self, data: bytes) -> None:
        self._body.append(data)
        self._queued += len(data)
        if self._queued > _QUEUED_BODY_BYTES and not self._paused:
            self._paused = True
            self._client.pause_body()
        self._wake_reader()

    def body_ended(self) -> None:
        self._body_complete = True
        self._wake_reader()

    def client_writable(self) -> None:
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    def client_gone(self) -> None:
        self._gone = True
        self._wake_reader()
        self.client_writable()

    def deadline_passed(self) -> None:
        """None is ever set: the application has its own."""

    def draining(self) -> None:
        """Ordinary answers end by themselves."""

    # From the application.

    async def receive(self) -> Message:
        """ASGI's `receive`: the next part of the body, or the news that the client left."""
        if not self._body_wanted and not self._answered:
            self._body_wanted = True
            self._client.accept_body()
        while not self._over and not self._has_news:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        if self._over:
            return {"type": "http.disconnect"}
        body = b"".join(self._body)
        self._body.clear()
        self._queued = 0
        self._end_delivered = self._body_complete
        if self._paused:
            self._paused = False
            self._client.resume_body()
        return {"type": "http.request", "body": body, "more_body": not self._end_delivered}

    async def send(self, message: Message) -> None:
        """ASGI's `send`; waits while the client does not take what was said before.

        Raises:
            ClientGoneError: nobody is there to hear it.
        """
        if self._gone:
            raise ClientGoneError("the client has left")
        if message["type"] == "http.response.start":
            self._begin(int(message["status"]), message.get("headers", ()))
            return
        body, more = bytes(message.get("body", b"")), bool(message.get("more_body", False))
        if self._answered:
            return
        if not self._started:
            self._say_head(None if more else len(body))
        if body and not self._bodiless and not self._client.write(body):
            await self._wait_writable()
        if not more:
            self._finish()

    def application_ended(self) -> None:
        """The task is over: an answer that is not complete is torn off, one not begun becomes a 500."""
        if self._over:
            return
        if self._started:
            self._answered = True
            self._client.abort()
        else:
            self.refuse(500, b"Internal Server Error\n")

    def refuse(self, status: int, text: bytes) -> None:
        """Answer without the application."""
        self._begin(status, ((b"content-type", b"text/plain; charset=utf-8"),))
        self._say_head(len(text))
        if not self._bodiless:
            self._client.write(text)
        self._finish()

    @property
    def _over(self) -> bool:
        return self._gone or self._answered

    @property
    def _has_news(self) -> bool:
        return bool(self._body) or (self._body_complete and not self._end_delivered)

    def _begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        dated = False
        for raw_name, value in headers:
            name = raw_name.lower()
            dated = dated or name == b"date"
            if name == b"content-length":
                self._content_length = int(value)
            elif name not in _OUR_HEADERS:
                lines.append(_header_line(raw_name, value))
        if not dated:
            lines.append(self._clock.date)
        self._status = status
        self._bodiless = self._head.method == b"HEAD" or status in {204, 304}
        self._lines = b"".join(lines)

    def _say_head(self, body_length: int | None) -> None:
        """The head goes out with the first part of the body, when the length may be known."""
        self._started = True
        if self._state.get("authenticated"):
            self._client.authenticated()
        length = self._content_length
        if length is None and not self._bodiless:
            length = body_length
        self._client.start(self._lines, length, bodiless=self._bodiless)

    async def _wait_writable(self) -> None:
        while not self._client.writable and not self._gone:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer
        if self._gone:
            raise ClientGoneError("the client has left")

    def _finish(self) -> None:
        self._answered = True
        _BY_CLASS.get(self._status // 100, _BY_CLASS[5]).inc()
        self._client.finish()
        self._wake_reader()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def _header_line(name: bytes, value: bytes) -> bytes:
    """One header line; a line break in a name or value would be a second header, so it is our bug and raises."""
    if b"\n" in value or b"\r" in value or b"\n" in name or b"\r" in name:
        raise Bug(f"the header {name!r} holds a line break")
    return b"%b: %b\r\n" % (name, value)
