"""An API server that only watches: every request gets a stream that says a line at once and another from time to time.

`python -m bench.drip PORT`: a program of its own, so that its memory is nobody's.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
_EVENT = b'{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":"web","resourceVersion":"1"}}}\n'
_BOOKMARK = b'{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"2"}}}\n'
_EVERY_S = 20.0


class Drip(asyncio.Protocol):
    """One connection: a watch once its request's head is complete."""

    def __init__(self, watches: set[Drip]) -> None:
        self._watches = watches
        self._transport: asyncio.Transport | None = None
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_server gives
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._head = (self._head + data)[-65536:]
        if b"\r\n\r\n" not in self._head or self._transport is None:
            return
        wants_watch = b"watch=" in self._head.partition(b"\r\n")[0]
        self._head = b""
        if wants_watch:
            self._transport.write(_HEAD + _chunk(_EVENT))
            self._watches.add(self)
        else:
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
            )

    def connection_lost(self, _error: Exception | None) -> None:
        self._watches.discard(self)

    def drip(self) -> None:
        """Say the line that keeps a watch fresh."""
        if self._transport is not None:
            self._transport.write(_chunk(_BOOKMARK))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def serve(port: int) -> None:
    """Answer until the process is ended."""
    watches: set[Drip] = set()
    server = await asyncio.get_running_loop().create_server(
        lambda: Drip(watches), "127.0.0.1", port, backlog=4096
    )
    async with server:
        while True:
            await asyncio.sleep(_EVERY_S)
            for watch in list(watches):
                watch.drip()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1])))
