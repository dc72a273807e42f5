"""One HTTP request as an ASGI application sees it, in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Scope


@dataclass
class AsgiClient:
    """Plays a request's messages; afterwards stays, or leaves at once with `hangs_up`."""

    pieces: list[bytes] = field(default_factory=lambda: [b""])
    complete: bool = True
    hangs_up: bool = False
    refuses: bool = False
    """The connection is gone when the answer comes."""
    sent: list[Message] = field(default_factory=list)

    async def receive(self) -> Message:
        if self.pieces:
            piece = self.pieces.pop(0)
            return {
                "type": "http.request",
                "body": piece,
                "more_body": bool(self.pieces) or not self.complete,
            }
        if self.hangs_up:
            return {"type": "http.disconnect"}
        await asyncio.Event().wait()
        raise AssertionError("nobody sets this event")

    async def send(self, message: Message) -> None:
        if self.refuses:
            raise OSError("the client has left")
        self.sent.append(message)

    async def ask(self, application: ASGIApp, scope: Scope) -> None:
        await application(scope, self.receive, self.send)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def answered_whole(self) -> bool:
        return bool(self.sent) and self.sent[-1].get("more_body") is False


def git_scope(
    path: str, *, method: str = "GET", query: str = "", headers: dict[str, str] | None = None
) -> Scope:
    pairs = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": pairs,
        "root_path": "",
        "scheme": "http",
        "server": ("kasbah", 80),
    }
