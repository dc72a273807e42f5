"""A small HTTP/1.1 client that hides nothing: what it sends is given as bytes, what it got is kept as it came."""

from __future__ import annotations

import contextlib
import socket
import ssl
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, Self

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. `body` is as it was framed, not decompressed."""

    status: int
    reason: str
    headers: Headers
    body: bytes
    framing: str
    """`length`, `chunked`, `close`, or `none` when there was no body to frame."""
    interim: tuple[int, ...] = ()
    """The 1xx that came before."""
    trailers: Headers = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def value(self, name: str) -> str:
        """The value of a header that comes at most once."""
        return ", ".join(self.values(name))

    @property
    def unpacked(self) -> bytes:
        """The body without its content encoding."""
        if self.value("Content-Encoding") == "gzip":
            return zlib.decompress(self.body, wbits=31)
        return self.body


class Connection:
    """One TLS connection to a server; requests may be pipelined, answers are read in order."""

    def __init__(
        self, address: tuple[str, int], trust: ssl.SSLContext, *, host: str = "", timeout_s: float = 30
    ) -> None:
        raw = socket.create_connection(address, timeout=timeout_s)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.host = host or f"{address[0]}:{address[1]}"
        self.socket = trust.wrap_socket(raw, server_hostname=address[0])
        self._input: IO[bytes] = self.socket.makefile("rb")
        self.reusable = True

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self.socket.sendall(data)

    def read_line(self) -> bytes:
        """One line of what comes, with its end."""
        return self._input.readline(1 << 20)

    def read(self, size: int) -> bytes:
        """Exactly so many bytes, fewer at the end of the connection."""
        return self._input.read(size)

    def read_some(self, size: int = 65536) -> bytes:
        """What is there, at least one byte; nothing at the end of the connection."""
        return self._input.read1(size)  # type: ignore[attr-defined,no-any-return]

    def answer(self, *, bodiless: bool = False) -> Answer:
        """The next answer, whole; `bodiless` for an answer to HEAD."""
        interim = []
        status, reason, headers = self.head()
        while 100 <= status < 200 and status != 101:
            interim.append(status)
            status, reason, headers = self.head()
        body, framing, trailers = self._body(status, headers, bodiless=bodiless)
        closing = [v.lower() for k, v in headers if k.lower() == "connection"] == ["close"]
        self.reusable = framing != "close" and not closing
        return Answer(
            status=status,
            reason=reason,
            headers=headers,
            body=body,
            framing=framing,
            interim=tuple(interim),
            trailers=trailers,
        )

    def head(self) -> tuple[int, str, Headers]:
        """The next head alone."""
        first = self.read_line()
        if not first:
            raise ConnectionError("the connection ended before an answer")
        _version, status, reason = [*first.decode("latin-1").rstrip("\r\n").split(" ", 2), ""][:3]
        return int(status), reason, self._fields()

    def chunk(self) -> bytes:
        """The next chunk of a chunked body; nothing at its end."""
        size = int(self.read_line().split(b";")[0], 16)
        data = self.read(size)
        if size:
            self.read(2)
        return data

    def close(self) -> None:
        """At once."""
        self.reusable = False
        self._input.close()
        self.socket.close()

    def _fields(self) -> Headers:
        found: Headers = []
        while (line := self.read_line()) not in {b"\r\n", b"\n", b""}:
            name, _, value = line.decode("latin-1").partition(":")
            found.append((name, value.strip()))
        return found

    def _body(self, status: int, headers: Headers, *, bodiless: bool) -> tuple[bytes, str, Headers]:
        known = {name.lower(): value for name, value in headers}
        if bodiless or status in {101, 204, 304}:
            return b"", "none", []
        if known.get("transfer-encoding", "").lower() == "chunked":
            data = b"".join(iter(self.chunk, b""))
            return data, "chunked", self._fields()
        if "content-length" in known:
            return self.read(int(known["content-length"])), "length", []
        return self._input.read(), "close", []


class HalfClosing:
    """A TLS connection whose sending half can be closed alone, which Python's sockets cannot."""

    def __init__(self, address: tuple[str, int], trust: ssl.SSLContext) -> None:
        self._socket = socket.create_connection(address, timeout=10)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = trust.wrap_bio(self._incoming, self._outgoing, server_hostname=address[0])
        self._until_done(self._tls.do_handshake)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def receive_until(self, mark: bytes) -> bytes:
        """What comes, up to the mark."""
        data = b""
        while mark not in data:
            data += self._until_done(lambda: self._tls.read(65536))
        return data

    def close_our_half(self) -> None:
        """Says that nothing more will be sent, and goes on listening."""
        with contextlib.suppress(ssl.SSLError):  # it is said; what comes meanwhile is no answer to it
            self._tls.unwrap()
        self._flush()

    def ends_within(self, seconds: float) -> bool:
        """Whether the other side closes the connection, too."""
        self._socket.settimeout(seconds)
        try:
            while self._socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def _flush(self) -> None:
        self._socket.sendall(self._outgoing.read())

    def _until_done(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush()
                data = self._socket.recv(65536)
                if not data:
                    self._incoming.write_eof()
                self._incoming.write(data)
            else:
                self._flush()
                return result


def head(method: str, target: str, host: str, headers: Headers) -> bytes:
    """The bytes of a request's head."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
