"""A scripted server on loopback: an async function speaks to each connection as the test wants."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class LoopbackServer:
    """Where it listens, and how many connections it has seen."""

    port: int = 0
    connections: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)


@contextlib.asynccontextmanager
async def serving(script: Script, context: ssl.SSLContext | None = None) -> AsyncIterator[LoopbackServer]:
    """Serve while the body runs; connections are cut when it ends."""
    served = LoopbackServer()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.connections += 1
        served.writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await script(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(speak, "127.0.0.1", 0, ssl=context)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for writer in served.writers:
            writer.transport.abort()


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """One request head."""
    return await reader.readuntil(b"\r\n\r\n")


def answer(body: bytes, *headers: str) -> bytes:
    """A whole 200 answer."""
    head = "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", ""])
    return head.encode() + body


async def answer_everything(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A script: every GET is answered with its own request line."""
    while True:
        head = await read_head(reader)
        writer.write(answer(head.partition(b"\r\n")[0]))
