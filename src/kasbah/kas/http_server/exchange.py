"""The border between the connection machine and what answers a request: synchronous callbacks, both ways.

For each request the server's `Route` makes an `Exchange`, which gets the client's body and answers through the
`Client`. Nothing here awaits: every proxied byte passes these calls. An exchange that must wait starts a task of its
own and comes back. Order: the route is called first; `body_*` callbacks come only after `Client.accept_body`; after
`client_gone`, or our own `finish` or `abort`, nothing more is called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from kasbah.wire.http1 import RequestHead

NO_SUCH_DEADLINE: Final = float("inf")


class Exchange(Protocol):
    """Answers one request."""

    @property
    def open_ended(self) -> bool:
        """The answer may go on for ever (watch, exec): no stall limit, and over when the client half-closes."""

    def body_received(self, data: bytes) -> None:
        """The next bytes of the request's body, or of the client after `Client.switch_protocols`."""

    def body_ended(self) -> None:
        """The request is complete. Not called for a request without a body."""

    def client_writable(self) -> None:
        """After a `write` that answered False: the client takes bytes again."""

    def client_gone(self) -> None:
        """The connection is lost or was broken off; whatever works for this request should stop."""

    def deadline_passed(self) -> None:
        """The moment given to `Client.set_deadline` has come; the exchange must answer or abort now."""

    def draining(self) -> None:
        """The server is about to stop: an open-ended exchange should end well, soon."""


class NullExchange:
    """Does nothing: stands where nobody answers, or where the answer is out already."""

    __slots__ = ()
    open_ended = False

    def body_received(self, data: bytes) -> None: ...

    def body_ended(self) -> None: ...

    def client_writable(self) -> None: ...

    def client_gone(self) -> None: ...

    def deadline_passed(self) -> None: ...

    def draining(self) -> None: ...


class Client(Protocol):
    """The client's end of one exchange, as the exchange sees it."""

    @property
    def writable(self) -> bool:
        """Whether the client takes bytes now; when not, `Exchange.client_writable` follows."""

    @property
    def address(self) -> str:
        """The client's address without its port, as the socket tells it."""

    @property
    def secure(self) -> bool:
        """The connection is protected by TLS."""

    def accept_body(self) -> None:
        """From now on deliver the request's body; asks for it by `100 Continue` when the client waits for that."""

    def pause_body(self) -> None:
        """Read no more of the body until `resume_body`; what has been read already may still arrive."""

    def resume_body(self) -> None:
        """Read the body on."""

    def start(self, lines: bytes, content_length: int | None, *, bodiless: bool = False) -> None:
        """Say the status line and header lines; the machine adds the framing and the empty line.

        Args:
            lines: the status line and header lines, each ended by CRLF, without framing headers.
            content_length: the body's length when it is known; without it the body is chunked.
            bodiless: the answer has no body whatever its headers say (HEAD, 204, 304).
        """

    def write(self, data: bytes) -> bool:
        """Say the next bytes of the body. False: the client takes no more now, wait for `client_writable`."""

    def finish(self) -> None:
        """The answer is complete. A body shorter or longer than announced breaks the connection off."""

    def abort(self) -> None:
        """Break the connection off, so that the client cannot take a torn answer for a whole one."""

    def switch_protocols(self, head: bytes) -> None:
        """Say this 101 head as it stands; from then on bytes pass both ways as they are until `finish`."""

    def set_deadline(self, seconds: float) -> None:
        """Call `deadline_passed` about that many seconds from now; infinity for never."""

    def authenticated(self) -> None:
        """This client has proved who it is; its connection no longer counts as a stranger's."""

    def take_over(self) -> Upgrade:
        """Leave the connection to the caller, who sets a protocol of its own on the transport."""


class Upgrade:
    """A connection that goes on in another protocol, handed over whole."""

    __slots__ = ("known", "received", "since", "transport")

    def __init__(
        self,
        transport: asyncio.Transport,
        received: bytes,
        *,
        since: float,
        known: Callable[[], None] = lambda: None,
    ) -> None:
        self.transport = transport
        self.received = received
        """Bytes the client sent already; they belong to the new protocol."""
        self.since = since
        """When the client connected or was last answered, by the loop's clock: its time to prove itself began then."""
        self.known = known
        """To be called once the client has proved who it is, or is gone: until then it counts as a stranger."""

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        """Let this protocol have the transport's callbacks. Its `connection_made` is not called; the caller does it."""
        self.transport.set_protocol(protocol)
        self.transport.resume_reading()

    def refuse(self, status_line: str, text: str) -> None:
        """Answer with an ordinary refusal and close."""
        body = text.encode()
        head = (
            f"HTTP/1.1 {status_line}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
        self.known()


Route = Callable[[RequestHead, Client], Exchange]
"""Chooses who answers. May answer at once: the exchange it returns is then already over."""
AgentUpgrade = Callable[[RequestHead, Upgrade], None]
"""Takes an agent's WebSocket connection over."""
Http2Accept = Callable[[Upgrade], None]
"""Takes a connection over that began with HTTP/2's preface; the preface is the first it has received."""
