"""Makes calls: who makes one awaits its answers.

A call waits until there is something that carries it; a status other than OK, and a carrier that breaks, come out as
`RpcError`. Answers are read only as fast as the caller takes them: what waits here is what the carrier's window holds,
and of empty ones a bounded number.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, Generic, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from kasbah.wire.rpc import (
    MAX_WAITING_MESSAGES,
    Call,
    CallHandler,
    Metadata,
    RpcError,
    ServerStreamMethod,
    StatusCode,
    UnaryMethod,
)

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)

UNARY_TIMEOUT_S: Final = 30.0


class Caller(Protocol):
    """A connection on which calls can be made."""

    def open_call(self, path: str, handler: CallHandler, metadata: Metadata = ()) -> Call:
        """Begin a call; raises `RpcError` (UNAVAILABLE) when the connection takes none."""


class CallClient:
    """Calls over whatever connection is up."""

    def __init__(self, wait_for_caller: Callable[[], Awaitable[Caller]]) -> None:
        """`wait_for_caller` gives the connection to use now; raises `RpcError` when there is none in time."""
        self._wait_for_caller = wait_for_caller

    async def unary(self, method: UnaryMethod[Req, Resp], request: Req) -> Resp:
        """One request, one response.

        Raises:
            RpcError: the other side answered with a status, or could not be reached within 30 seconds.
        """
        try:
            async with asyncio.timeout(UNARY_TIMEOUT_S):
                answers = await self._begin(method, request)
                try:
                    response = await answers.next()
                    if response is None:
                        raise RpcError(StatusCode.INTERNAL, f"{method.path}: ended without an answer")
                    if await answers.next() is not None:
                        raise RpcError(StatusCode.INTERNAL, f"{method.path}: more than one answer")
                    return response
                finally:
                    answers.cancel()
        except TimeoutError as error:
            raise RpcError(StatusCode.DEADLINE_EXCEEDED, f"{method.path}: no answer in time") from error

    async def server_stream(
        self, method: ServerStreamMethod[Req, Resp], request: Req
    ) -> AsyncGenerator[Resp, None]:
        """One request, responses until the other side ends; closing the generator cancels the call.

        Raises:
            RpcError: as `unary`, but there is no deadline.
        """
        answers = await self._begin(method, request)
        try:
            while (response := await answers.next()) is not None:
                yield response
        finally:
            answers.cancel()

    async def _begin(
        self, method: UnaryMethod[Req, Resp] | ServerStreamMethod[Req, Resp], request: Req
    ) -> _Answers[Resp]:
        caller = await self._wait_for_caller()
        answers = _Answers(method.response)
        answers.begin(caller.open_call(method.path, answers), request.SerializeToString())
        return answers


class _Answers(Generic[Resp]):
    """What one call is answered; its handler."""

    _call: Call  # there from `begin` on, which is before any callback

    def __init__(self, response_type: type[Resp]) -> None:
        self._type = response_type
        self._messages: deque[bytes] = deque()
        self._over = False
        self._error: RpcError | None = None
        self._changed = asyncio.Event()

    def begin(self, call: Call, request: bytes) -> None:
        """Say the request: the only one there is."""
        self._call = call
        call.send(request)
        call.end()

    async def next(self) -> Resp | None:
        """The next response, or None at the end.

        Raises:
            RpcError: the call ended with a status other than OK, or the response is not of its type.
        """
        while not self._messages:
            if self._error is not None:
                raise self._error
            if self._over:
                return None
            self._changed.clear()
            await self._changed.wait()
        message = self._messages.popleft()
        self._call.consumed(len(message))
        try:
            return self._type.FromString(message)
        except DecodeError as error:
            raise RpcError(StatusCode.INTERNAL, f"not a {self._type.__name__}: {error}") from error

    def cancel(self) -> None:
        """The rest is no longer wanted; nothing happens when there is none."""
        if not self._over:
            self._over = True
            self._call.fail(StatusCode.CANCELLED)

    def message_received(self, message: bytes) -> None:
        if len(self._messages) >= MAX_WAITING_MESSAGES:
            self.cancel()
            self.failed(StatusCode.RESOURCE_EXHAUSTED, f"over {MAX_WAITING_MESSAGES} answers wait to be read")
            return
        self._messages.append(message)
        self._changed.set()

    def ended(self) -> None:
        self._over = True
        self._changed.set()

    def failed(self, code: StatusCode, message: str) -> None:
        self._over = True
        self._error = RpcError(code, message)
        self._changed.set()

    def writable(self) -> None:
        """A request is one message, and queued already."""
