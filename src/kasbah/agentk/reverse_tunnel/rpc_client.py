"""Calls to kas over the tunnel: one stream is one call.

A call waits a moment for a tunnel when none is up; a status other than OK, and a connection that breaks, come out as
`RpcError`. Answers are read only as fast as the caller takes them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, Generic, TypeVar

from google.protobuf.message import Message

from kasbah.errors import PeerError
from kasbah.wire.native_tunnel.engine import NativeTunnel
from kasbah.wire.native_tunnel.stream import ResetCode, Stream, StreamClass, StreamKind
from kasbah.wire.rpc import (
    RESET_CODE_BASE,
    MessageReader,
    RpcError,
    ServerStreamMethod,
    StatusCode,
    UnaryMethod,
    encode_message,
)

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)

UNARY_TIMEOUT_S: Final = 30.0


class TunnelRpcClient:
    """Implements `RpcClient` over whatever tunnel is up."""

    def __init__(self, wait_for_tunnel: Callable[[], Awaitable[NativeTunnel]]) -> None:
        self._wait_for_tunnel = wait_for_tunnel

    async def unary(self, method: UnaryMethod[Req, Resp], request: Req) -> Resp:
        """One request, one response.

        Raises:
            RpcError: kas answered with a status, or could not be reached within 30 seconds.
        """
        try:
            async with asyncio.timeout(UNARY_TIMEOUT_S):
                call = await self._begin(method.path, request, method.response)
                try:
                    response = await call.next()
                finally:
                    call.cancel()
        except TimeoutError as error:
            raise RpcError(StatusCode.DEADLINE_EXCEEDED, f"{method.path}: no answer in time") from error
        if response is None:
            raise RpcError(StatusCode.INTERNAL, f"{method.path}: ended without an answer")
        return response

    async def server_stream(
        self, method: ServerStreamMethod[Req, Resp], request: Req
    ) -> AsyncGenerator[Resp, None]:
        """One request, responses until kas ends; closing the generator cancels the call.

        Raises:
            RpcError: as `unary`.
        """
        call = await self._begin(method.path, request, method.response)
        try:
            while (response := await call.next()) is not None:
                yield response
        finally:
            call.cancel()

    async def _begin(self, path: str, request: Message, response_type: type[Resp]) -> _Call[Resp]:
        tunnel = await self._wait_for_tunnel()
        call = _Call(response_type)
        try:
            stream = tunnel.open_stream(StreamKind.RPC, path.encode(), call, stream_class=StreamClass.WATCH)
        except PeerError as error:
            raise RpcError(StatusCode.UNAVAILABLE, str(error)) from error
        call.begin(stream, encode_message(request))
        return call


class _Call(Generic[Resp]):
    """The handler of one call's stream."""

    def __init__(self, response_type: type[Resp]) -> None:
        self._reader = MessageReader(response_type)
        self._responses: deque[Resp] = deque()
        self._error: RpcError | None = None
        self._over = False
        self._unconsumed = 0
        self._changed = asyncio.Event()
        self._stream: Stream | None = None

    def begin(self, stream: Stream, request: bytes) -> None:
        self._stream = stream
        stream.send(request)
        stream.end()

    async def next(self) -> Resp | None:
        """The next response, or None at the end."""
        while not self._responses:
            if self._error is not None:
                raise self._error
            if self._over:
                return None
            self._open_window()
            self._changed.clear()
            await self._changed.wait()
        return self._responses.popleft()

    def cancel(self) -> None:
        """The answer is no longer wanted; nothing happens when it is complete."""
        if self._stream is not None and not self._over:
            self._over = True
            self._stream.reset(ResetCode.CANCELLED)

    def head_received(self, head: bytes) -> None:
        """Calls have no heads."""

    def data_received(self, data: bytes) -> None:
        self._unconsumed += len(data)
        try:
            self._responses.extend(self._reader.receive(data))
        except RpcError as error:
            self.cancel()
            self._error = error
        self._changed.set()
        if not self._responses:
            self._open_window()  # a message longer than the window must be able to arrive

    def ended(self) -> None:
        self._over = True
        self._changed.set()

    def reset(self, code: int, message: str) -> None:
        self._over = True
        self._error = RpcError(_status(code), message)
        self._changed.set()

    def writable(self) -> None:
        """A request is one message: it fits the queue."""

    def _open_window(self) -> None:
        if self._stream is not None and self._unconsumed:
            count, self._unconsumed = self._unconsumed, 0
            self._stream.consumed(count)


def _status(code: int) -> StatusCode:
    if code < RESET_CODE_BASE:
        return StatusCode.UNAVAILABLE
    try:
        return StatusCode(code - RESET_CODE_BASE)
    except ValueError:
        return StatusCode.UNKNOWN
