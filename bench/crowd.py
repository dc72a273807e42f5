"""A crowd of clients that watch: opened a few at a time, each noting when an event came and when it was written."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Self, cast
from urllib.parse import urlsplit

from bench.api_server import SENT
from bench.errors import BenchError
from bench.route import Route

_AT_ONCE: Final = 50
"""Watches opened together: a crowd at the door is another benchmark."""
_BEGIN_S: Final = 30.0
_PATH: Final = "/api/v1/pods?watch=1&allowWatchBookmarks=true"


class Crowd:
    """Watches on one route; leaving the context hangs up.

    Attributes:
        delays: seconds from the writing of an event to its arrival, in the order they came.
    """

    def __init__(self, route: Route) -> None:
        address = urlsplit(route.url(_PATH))
        self._address = address.hostname or "", address.port or 80
        lines = [f"GET {address.path}?{address.query} HTTP/1.1", f"Host: {address.netloc}"]
        lines += [f"{name}: {value}" for name, value in route.headers.items()]
        self._request = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self._open: list[Watch] = []
        self.delays: list[float] = []

    async def __aenter__(self) -> Self:
        return self

    def __len__(self) -> int:
        return len(self._open)

    async def __aexit__(self, *_: object) -> None:
        for watch in self._open:
            watch.close()

    async def open(self, count: int) -> None:
        """Open that many and wait for the first event of each."""
        for start in range(0, count, _AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_AT_ONCE, count - start)):
                    group.create_task(self._open_one())

    async def hear(self, count: int, *, timeout_s: float) -> None:
        """Until so many events have come.

        Raises:
            BenchError: they have not.
        """
        deadline = time.monotonic() + timeout_s
        while len(self.delays) < count:
            if time.monotonic() > deadline:
                raise BenchError(f"only {len(self.delays)} of {count} events came in {timeout_s:g} s")
            await asyncio.sleep(0.005)

    def alive(self) -> int:
        """How many have not ended."""
        return sum(watch.alive for watch in self._open)

    async def _open_one(self) -> None:
        async with asyncio.timeout(_BEGIN_S):
            loop = asyncio.get_running_loop()
            _, watch = await loop.create_connection(lambda: Watch(self._request, self.delays), *self._address)
            await watch.begun
        self._open.append(watch)


class Watch(asyncio.Protocol):
    """One client that asked for a watch and then only listens."""

    def __init__(self, request: bytes, delays: list[float]) -> None:
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.alive = True
        self._request = request
        self._delays = delays
        self._seen = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.begun.done():
            now = time.monotonic_ns()
            for piece in data.split(SENT)[1:]:
                self._delays.append((now - int(piece.partition(b'"')[0])) / 1e9)
            return
        self._seen += data
        if not b"HTTP/1.1 200".startswith(self._seen[:12]):
            self.begun.set_exception(BenchError(f"a watch was refused: {self._seen[:64]!r}"))
        elif b"ADDED" in self._seen:
            self._seen = b""
            self.begun.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.alive = False
        if not self.begun.done():
            self.begun.set_exception(error or BenchError("a watch ended before its first event"))

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()
