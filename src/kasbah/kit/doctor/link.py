"""One connection of the doctor's own, and one HTTP exchange on it, read leniently: what odd servers say is the point.

For looking only. Nothing is relayed with it.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import httptools

from kasbah.kit.doctor.check import FaultError

_READ: Final = 64 * 1024
_MAX_BODY: Final = 1024 * 1024
_MAX_HEADERS: Final = 256
_TITLE = re.compile(rb"<title[^>]*>([^<]{0,200})", re.IGNORECASE)
_HTTP2_SETTINGS: Final = b"\x04\0\0\0\0\0"
"""Type, flags and stream of the frame with which a server of HTTP/2 begins."""
_TLS_RECORD: Final = (b"\x15\x03", b"\x16\x03")


class Link:
    """A connection; close it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def secure(self, context: ssl.SSLContext, server_name: str) -> ssl.SSLObject:
        """Speak TLS from here on; raises OSError (`ssl.SSLError` is one) when that fails."""
        await self.writer.start_tls(context, server_hostname=server_name)
        secured: ssl.SSLObject = self.writer.get_extra_info("ssl_object")
        return secured

    async def send(self, data: bytes) -> None:
        """Write it all."""
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        """Now, without a goodbye."""
        self.writer.transport.abort()


@dataclass(slots=True)
class Answer:
    """An answer as far as it has come.

    Attributes:
        upgraded: it switches protocols; what follows is not HTTP.
        complete: its body is over.
    """

    status: int = 0
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    """Names in lower case; several of one name are joined by commas."""
    body: bytes = b""
    upgraded: bool = False
    complete: bool = False

    @property
    def is_page(self) -> bool:
        """A page for people."""
        return "html" in self.headers.get("content-type", "").lower()

    @property
    def who(self) -> str:
        """Who answers, as far as it says so."""
        return self.headers.get("server") or "a server that does not say its name"

    @property
    def summary(self) -> str:
        """`404 Not Found from nginx, a page titled "Oops"`."""
        title = _TITLE.search(self.body) if self.is_page else None
        page = f', a page titled "{title[1].decode(errors="replace").strip()}"' if title else ""
        page = page or (", a web page" if self.is_page else "")
        return f"{self.status} {self.reason} from {self.who}{page}"


class Exchange:
    """Asks once, and reads the answer piece by piece."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._answer = Answer()
        self._parser = httptools.HttpResponseParser(self)
        self._headed = False
        self._fresh: list[bytes] = []
        self.behind_upgrade = b""
        """What came with the head of an answer that switches protocols, and is of the new one already."""

    async def ask(self, request: bytes) -> Answer:
        """Send the request and wait for the answer's head; 1xx but 101 are passed over.

        Raises:
            FaultError: the far end closes, or does not speak HTTP.
        """
        with suppress(OSError):  # whoever refuses early closes early; what it says is still read
            await self._link.send(request)
        while not self._headed and await self._more():
            pass
        if not self._headed:
            raise FaultError(
                "http-closed",
                "the connection is closed without an answer",
                "look at the log of the server, or of the proxy before it; is it the right port?",
            )
        return self._answer

    async def piece(self) -> bytes:
        """The next piece of the body; empty at its end, or when the connection breaks."""
        while not self._fresh and not self._answer.complete and await self._more():
            pass
        piece, self._fresh = b"".join(self._fresh), []
        return piece

    async def whole(self, request: bytes) -> Answer:
        """Ask, and read up to a mebibyte of the body; raises as `ask`."""
        answer = await self.ask(request)
        while len(answer.body) < _MAX_BODY and not answer.upgraded and (piece := await self.piece()):
            answer.body += piece
        return answer

    async def _more(self) -> bool:
        """Read once; False at the end."""
        try:
            data = await self._link.reader.read(_READ)
        except OSError:
            data = b""
        if not data:
            return False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._answer.upgraded = True
            self._headed = True
            self.behind_upgrade = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            if not self._headed:
                raise _no_http(data) from error
            return False
        return True

    # The parser's callbacks

    def on_status(self, reason: bytes) -> None:
        self._answer.reason += reason.decode(errors="replace")

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self._answer.headers) < _MAX_HEADERS:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            known = self._answer.headers.get(key)
            self._answer.headers[key] = f"{known}, {text}" if known else text

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 or status == 101:
            self._answer.status = status
            self._headed = True
        else:
            self._answer.headers.clear()
            self._answer.reason = ""

    def on_body(self, body: bytes) -> None:
        self._fresh.append(body)

    def on_message_complete(self) -> None:
        self._answer.complete = self._headed


def _no_http(data: bytes) -> FaultError:
    if data.startswith(_TLS_RECORD):
        return needs_tls("the far end speaks TLS")
    if data[3:9] == _HTTP2_SETTINGS:
        return FaultError(
            "http-speaks-http2",
            "the far end speaks HTTP/2 only, as gRPC servers do",
            "use the scheme for it: grpc:// for ws://, grpcs:// for wss://; or the server's port for HTTP/1.1",
        )
    told = "".join(c for c in data[:40].decode("latin-1") if c.isprintable())
    return FaultError(
        "http-not-http",
        f"the far end does not speak HTTP/1.1: {told!r}",
        "check host and port of the address",
    )


def needs_tls(seen: str) -> FaultError:
    """The address says plain, the port says TLS."""
    return FaultError(
        "http-needs-tls", seen, "use the scheme with TLS: wss:// for ws://, https:// for http://"
    )


async def closing(link: Link) -> None:
    """Close it and wait a moment for its socket to go."""
    link.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            await link.writer.wait_closed()
