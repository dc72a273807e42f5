"""TLS as a transport of our own between a socket and a protocol, for either end.

The loops' own TLS transports lose what has arrived but was not read when the peer closes while reading is paused
(uvloop), or keep a quarter of a megabyte per connection (both); whoever pauses a fast peer for a slow one meets the
first on every large transfer, whoever holds a thousand idle watches the second. The cryptography is OpenSSL's, by way
of `ssl.SSLObject` and two memory buffers; this file only carries bytes. Small pieces go in and out, so the buffers of
an idle connection stay small.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Iterable
from typing import Any, Final, cast

_PIECE: Final = 16 * 1024
"""Encrypted bytes given to OpenSSL at once: about one record, so its buffer never grows beyond a few."""
_READ: Final = 64 * 1024


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """Protocol of the socket's transport below, transport of the protocol above."""

    def __init__(
        self,
        context: ssl.SSLContext,
        server_name: str | None,
        protocol: asyncio.Protocol,
        *,
        server_side: bool = False,
    ) -> None:
        super().__init__()
        self._protocol = protocol
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_name
        )
        self._loop = asyncio.get_running_loop()
        self._socket = cast("asyncio.Transport", None)
        self._encrypted: deque[bytes] = deque()
        self._secure: asyncio.Future[None] = self._loop.create_future()
        self._paused = False
        self._closing = False
        self._reading = False
        self._ended = False
        self._lost: tuple[Exception | None] | None = None
        self._told = False

    async def secured(self) -> None:
        """Until the handshake is over and `connection_made` was called above.

        Raises:
            OSError: the handshake failed (`ssl.SSLError` is one), or the connection ended in it.
        """
        await self._secure

    # The socket's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast("asyncio.Transport", transport)
        self._shake_hands()

    def data_received(self, data: bytes) -> None:
        self._encrypted.append(data)
        self._advance()

    def eof_received(self) -> bool:
        self._ended = True
        self._advance()
        return True  # `close` follows when everything has been read above

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        if self._lost is None:
            self._lost = (exc,)
        if self._secure.done():
            self._advance()
        else:
            self._secure.set_exception(exc or ConnectionResetError("the peer closed during the handshake"))

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    # The protocol's side

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._closing:
            return
        view = memoryview(data)
        for start in range(0, len(view), _READ):
            try:
                self._tls.write(view[start : start + _READ])
            except ssl.SSLError as error:
                self._break(error)
                return
            self._flush()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        self.write(b"".join(list_of_data))

    def pause_reading(self) -> None:
        if not self._paused:
            self._paused = True
            if self._lost is None and not self._socket.is_closing():
                self._socket.pause_reading()

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._loop.call_soon(self._resume)

    def is_reading(self) -> bool:
        return not self._paused

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Say goodbye and close once everything written is out; nothing more is read."""
        if not self._closing:
            self._closing = True
            with contextlib.suppress(ssl.SSLError):  # it wants the peer's goodbye, which nobody waits for
                self._tls.unwrap()
            self._flush()
            self._encrypted.clear()
            self._paused = False  # the end is told above even if nobody reads
            self._socket.close()

    def abort(self) -> None:
        self._closing = True
        self._encrypted.clear()
        self._paused = False
        self._socket.abort()

    def can_write_eof(self) -> bool:
        return False  # TLS has no half-close that peers understand

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._tls if name == "ssl_object" else self._socket.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._socket.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._socket.get_write_buffer_size()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    # Between them

    def _resume(self) -> None:
        self._advance()
        if not self._paused and not self._closing and not self._socket.is_closing():
            self._socket.resume_reading()

    def _advance(self) -> None:
        """Decrypt as long as somebody reads; then say what has come to an end."""
        if self._reading:
            return  # called from a callback below: the loop there goes on
        self._reading = True
        try:
            while not self._paused and self._decrypt_some():
                pass
        finally:
            self._reading = False
        if self._paused:
            return
        if self._lost is not None:
            if not self._told:
                self._told = True
                self._protocol.connection_lost(self._lost[0])
        elif self._ended and not self._closing:
            self._protocol.eof_received()
            self.close()

    def _decrypt_some(self) -> bool:
        """Take one step; False when nothing is left to be done."""
        if not self._secure.done():
            return self._feed() and self._shake_hands()
        if self._closing and self._lost is None:
            return False
        try:
            data = self._tls.read(_READ)
        except ssl.SSLWantReadError:
            self._flush()
            return self._feed()
        except ssl.SSLError as error:
            self._encrypted.clear()
            if not isinstance(error, ssl.SSLZeroReturnError | ssl.SSLEOFError):
                self._break(error)
            self._ended = True
            return False
        if not data:  # the peer's goodbye
            self._ended = True
            return False
        self._protocol.data_received(data)
        return True

    def _feed(self) -> bool:
        """Give OpenSSL the next piece; False when there is none."""
        if not self._encrypted:
            return False
        data = self._encrypted.popleft()
        if len(data) > _PIECE:
            view = memoryview(data)
            self._encrypted.extendleft(
                bytes(view[start : start + _PIECE]) for start in reversed(range(_PIECE, len(view), _PIECE))
            )
            data = bytes(view[:_PIECE])
        self._incoming.write(data)
        return True

    def _shake_hands(self) -> bool:
        """One step of the handshake; whether to go on reading."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            if self._ended:
                self._socket.close()
            return bool(self._encrypted)
        except ssl.SSLError as error:
            self._flush()  # the alert that tells the peer why
            self._closing = True
            self._secure.set_exception(error)
            self._socket.close()
            return False
        self._flush()
        self._secure.set_result(None)
        self._protocol.connection_made(self)
        return True

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._socket.write(self._outgoing.read())

    def _break(self, error: ssl.SSLError) -> None:
        """The peer's TLS is broken: the connection is lost, with this as the reason."""
        self._closing = True
        if self._lost is None:
            self._lost = (error,)
        self._socket.abort()
