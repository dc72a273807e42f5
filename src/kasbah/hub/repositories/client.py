"""The Git client of one HTTP request, over ASGI: its body as it comes, our answer as it goes.

Waits for the client at most `idle_s` at a time, in either direction, and turns its leaving into `ClientGoneError`. The
head of the answer goes out with the first bytes of its body, so that a failure before them can still choose a status.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Final

from starlette.types import Message, Receive, Send

from kasbah.errors import PeerError
from kasbah.gitrepo.errors import BadGitRequestError, GitTimedOutError, RequestTooLargeError
from kasbah.gitrepo.inflate import Inflater

_NEVER_CACHE: Final = (
    (b"expires", b"Fri, 01 Jan 1980 00:00:00 GMT"),
    (b"pragma", b"no-cache"),
    (b"cache-control", b"no-cache, max-age=0, must-revalidate"),
)


class ClientGoneError(PeerError):
    """The client hung up before the end."""


class GitClient:
    def __init__(self, receive: Receive, send: Send, *, idle_s: float) -> None:
        self._receive = receive
        self._send = send
        self._idle_s = idle_s
        self._body_ended = False
        self.status: int | None = None
        """Of the answer, once it has begun."""

    async def body(self, *, encoding: str = "", max_bytes: int) -> AsyncIterator[bytes]:
        """The request's body, inflated if it is compressed, in pieces.

        Raises:
            RequestTooLargeError: more than `max_bytes`, as sent or as inflated.
            BadGitRequestError: it is not compressed the way its header says.
            ClientGoneError: it ended early.
        """
        inflater = Inflater(max_bytes=max_bytes) if encoding in {"gzip", "x-gzip"} else None
        if inflater is None and encoding not in {"", "identity"}:
            raise BadGitRequestError("a Git request may be compressed with gzip and nothing else")
        left = max_bytes
        async for piece in self._raw_body():
            left -= len(piece)
            if left < 0:
                raise RequestTooLargeError(f"the request is larger than {max_bytes} bytes")
            if inflater is None:
                yield piece
                continue
            for inflated in inflater.feed(piece):
                yield inflated
        if inflater is not None:
            inflater.finish()

    async def discard_body(self, *, max_bytes: int) -> None:
        """Read the rest of the body for nothing: a client still sending hears no answer before it is through."""
        async for piece in self._raw_body():
            max_bytes -= len(piece)
            if max_bytes < 0:
                return  # the server closes the connection over the rest

    async def gone(self) -> None:
        """Wait until the client hangs up, which raises; only after the body's end."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError("the client hung up")

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the answer's head."""
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self.status = status
        await self._deliver(
            {"type": "http.response.start", "status": status, "headers": [*pairs, *_NEVER_CACHE]}
        )

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send a piece of the answer's body; returns once the server has taken it."""
        await self._deliver({"type": "http.response.body", "body": data, "more_body": not last})

    async def answer(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer of one line of text, which git shows to its user."""
        body = text.encode() + b"\n"
        basic = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))}
        await self.start(status, {**basic, **(headers or {})})
        await self.write(body, last=True)

    async def _raw_body(self) -> AsyncIterator[bytes]:
        while not self._body_ended:
            message = await self._next()
            if message["type"] == "http.disconnect":
                raise ClientGoneError("the client hung up amid its request")
            self._body_ended = not message.get("more_body", False)
            if piece := message.get("body", b""):
                yield piece

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout(self._idle_s):
                return await self._receive()
        except TimeoutError as error:
            raise GitTimedOutError(f"no byte of the request came for {self._idle_s:g} s") from error

    async def _deliver(self, message: Message) -> None:
        try:
            async with asyncio.timeout(self._idle_s):
                await self._send(message)
        except TimeoutError as error:
            raise ClientGoneError(f"the client took nothing for {self._idle_s:g} s") from error
        except OSError as error:
            raise ClientGoneError("the client hung up amid the answer") from error
