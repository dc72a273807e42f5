"""An API server's stand-in for everything that nginx cannot play: watches, an exec that echoes, lists in between.

`python -m bench.api_server PORT TLS-PORT CERTIFICATE KEY`: a program of its own, so that its memory is nobody's. A watch gets
an event at once and a bookmark from time to time; more come when `/bench/one` (to the next watch) or `/bench/all` is
asked for. Each event says when it was written, by the clock that all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
import sys
import time
from collections.abc import Callable
from typing import Final, cast

from bench.pods import pod_list
from kasbah.kit import loop
from kasbah.wire.websocket import accept_key

SENT: Final = b'"sent":"'
ONE: Final = "/bench/one"
ALL: Final = "/bench/all"
_STREAM: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
_WHOLE: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_SWITCH: Final = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %b\r\n\r\n"
_EVENT: Final = (
    b'{"type":"%b","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","namespace":"default",'
    b'"resourceVersion":"%d","annotations":{"sent":"%d"}},"status":{"phase":"Running"}}}\n'
)
_BOOKMARK: Final = (
    b'{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"%d"}}}\n'
)
_BOOKMARK_EVERY_S: Final = 20.0
_BODIES: Final = {b"/api/v1/pods": pod_list(5 * 1024 * 1024)}
_SMALL: Final = pod_list(2 * 1024)


class Feed:
    """Who watches, and what they are told."""

    def __init__(self) -> None:
        self.watches: dict[Conversation, None] = {}
        self._versions = itertools.count(2)

    def begin(self, watch: Conversation) -> None:
        """One more; it hears of the first object at once."""
        self.watches[watch] = None
        watch.say(_STREAM + _chunk(self._event(b"ADDED")))

    def tell_one(self) -> None:
        """The one that has heard nothing for the longest time."""
        watch = next(iter(self.watches), None)
        if watch is not None:
            del self.watches[watch]
            self.watches[watch] = None
            watch.say(_chunk(self._event(b"MODIFIED")))

    def tell_all(self) -> None:
        """One change that all of them watch."""
        told = _chunk(self._event(b"MODIFIED"))
        for watch in list(self.watches):
            watch.say(told)

    def bookmark(self) -> None:
        """What keeps a watch fresh."""
        told = _chunk(_BOOKMARK % next(self._versions))
        for watch in list(self.watches):
            watch.say(told)

    def _event(self, kind: bytes) -> bytes:
        return _EVENT % (kind, next(self._versions), time.monotonic_ns())


class Conversation(asyncio.Protocol):
    """One connection."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._echoes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._echoes:
            self.say(data)
            return
        self._head = (self._head + data)[-65536:]
        if b"\r\n\r\n" in self._head:
            head, self._head = self._head, b""
            self._answer(head)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._feed.watches.pop(self, None)

    def say(self, data: bytes) -> None:
        """Write this, as long as anybody is there."""
        if self._transport is not None:
            self._transport.write(data)

    def _answer(self, head: bytes) -> None:
        target = head.split(b" ", 2)[1]
        path = target.partition(b"?")[0]
        orders: dict[bytes, Callable[[], None]] = {
            ONE.encode(): self._feed.tell_one,
            ALL.encode(): self._feed.tell_all,
        }
        if b"watch=" in target:
            self._feed.begin(self)
        elif path.endswith(b"/exec"):
            self._echoes = True
            key = head.lower().partition(b"sec-websocket-key: ")[0]
            value = head[len(key) + len("sec-websocket-key: ") :].partition(b"\r\n")[0]
            self.say(_SWITCH % accept_key(value))
        elif path in orders:
            orders[path]()
            self.say(_WHOLE % 0)
        else:
            body = _BODIES.get(path, _SMALL)
            self.say(_WHOLE % len(body) + body)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def serve(port: int, secure_port: int, certificate: str, key: str) -> None:
    """Answer on both ports until the process is ended."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    feed, running = Feed(), asyncio.get_running_loop()
    for at, context in ((port, None), (secure_port, tls)):
        await running.create_server(lambda: Conversation(feed), "127.0.0.1", at, ssl=context, backlog=4096)
    while True:
        await asyncio.sleep(_BOOKMARK_EVERY_S)
        feed.bookmark()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        loop.run(serve(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:5]))
