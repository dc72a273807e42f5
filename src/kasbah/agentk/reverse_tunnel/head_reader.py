"""Reads the heads of answers while a connection is being made, and hands the connection over without losing a byte."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from kasbah.errors import PeerError

_MAX_HEAD: Final = 16 * 1024

P = TypeVar("P", bound=asyncio.Protocol)


class HeadReader(asyncio.Protocol):
    """A protocol until the next one; keeps what has arrived and was not asked for."""

    def __init__(self) -> None:
        self._buffer = b""
        self._ended = ""
        self._changed = asyncio.Event()

    async def head(self) -> bytes:
        """The next head, without its empty line.

        Raises:
            PeerError: the connection ended before it, or it has no end.
        """
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise PeerError("the answer to the handshake has no end", retryable=True)
            self._check()
            self._changed.clear()
            await self._changed.wait()
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return head

    def hand_over(self, transport: asyncio.Transport, make_protocol: Callable[[], P]) -> P:
        """From now on this protocol reads, beginning with what has arrived already.

        Raises:
            PeerError: the connection has ended; no protocol was made.
        """
        self._check()
        protocol = make_protocol()
        transport.set_protocol(protocol)
        if self._buffer:
            protocol.data_received(self._buffer)
        return protocol

    def data_received(self, data: bytes) -> None:
        if len(self._buffer) <= _MAX_HEAD:
            self._buffer += data
        else:
            self._ended = "the far end says too much before it hears us"
        self._changed.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._ended = str(error) if error else "the connection was closed"
        self._changed.set()

    def _check(self) -> None:
        if self._ended:
            raise PeerError(f"no answer to the handshake: {self._ended}", retryable=True)
