"""Answers calls: one task a call, which runs the handler of its method.

A handler knows messages and nothing of what carries them. A call that its caller gives up is cancelled; responses wait
until the carrier takes them, and requests are taken off the carrier's window only when the handler takes them. What
one call may collect here is bounded: a short request, or as much as the window holds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, Generic, TypeVar, cast

import structlog
from google.protobuf.message import DecodeError, Message

from kasbah.errors import Bug, KasbahError
from kasbah.wire.rpc import (
    MAX_MESSAGE_BYTES,
    MAX_WAITING_MESSAGES,
    NOBODY,
    BidiMethod,
    Call,
    CallHandler,
    Method,
    RpcError,
    ServerStreamMethod,
    StatusCode,
    UnaryMethod,
)

_log = structlog.get_logger()
MAX_REQUEST_BYTES: Final = 64 * 1024
"""What is asked is short where there is one request; the answers may be long."""
_MAX_PATH_SHOWN: Final = 256

C = TypeVar("C")
"""What a handler is told of its call: who calls."""

Handler = Callable[[C, Any], Awaitable[Message] | AsyncIterator[Message]]
"""`async def` for a unary method, else an async generator; for a bidi method the second argument is an async iterator of
requests. Raises `RpcError` for a status."""

Service = tuple[Method, Handler[C]]


class CallServer(Generic[C]):
    """The methods that are answered here, by path."""

    def __init__(
        self,
        services: Sequence[Service[C]],
        *,
        log_fields: Callable[[C], Mapping[str, object]] = lambda _: {},
        one_request_bytes: int = MAX_REQUEST_BYTES,
    ) -> None:
        """`log_fields` says in the log whose call failed; `one_request_bytes` bounds a request that comes alone."""
        self._services = {method.path: (method, handler) for method, handler in services}
        self._log_fields = log_fields
        self.one_request_bytes = one_request_bytes
        self._open: set[OpenCall[C]] = set()

    def accept(self, path: str, call: Call, context: C, tasks: asyncio.TaskGroup) -> CallHandler:
        """Begin one call; the task that answers it belongs to `tasks`."""
        service = self._services.get(path)
        if service is None:
            call.fail(StatusCode.UNIMPLEMENTED, f"unknown method {_printable(path)}")
            return NOBODY
        kind = _BidiCall[C] if isinstance(service[0], BidiMethod) else _OneRequestCall[C]
        return kind(service, call, context, tasks, self)

    def max_request_bytes(self, path: str) -> int:
        """The longest request of a method that is worth collecting."""
        service = self._services.get(path)
        return MAX_MESSAGE_BYTES if service and isinstance(service[0], BidiMethod) else self.one_request_bytes

    def is_long(self, path: str) -> bool:
        """Whether calls of the method wait for something new, so that they last: one request and many answers.

        One with many requests is a piece of work, which an early end would pass off as done.
        """
        service = self._services.get(path)
        return service is not None and isinstance(service[0], ServerStreamMethod)

    def end_long_calls(self, which: Callable[[C], bool] = lambda _: True) -> None:
        """End the calls that wait for something new, as if there were no more: they are made again elsewhere."""
        for call in list(self._open):
            if self.is_long(call.method.path) and which(call.context):
                call.end_well()

    def fail_calls(self, which: Callable[[C], bool], code: StatusCode, message: str) -> None:
        """Cut the calls of some, who have no right to them any more."""
        for call in list(self._open):
            if which(call.context):
                call.cut(code, message)

    # -- what its calls tell -------------------------------------------------------------------------------------

    def opened(self, call: OpenCall[C]) -> None:
        """It can be ended from here."""
        self._open.add(call)

    def over(self, call: OpenCall[C]) -> None:
        """It cannot."""
        self._open.discard(call)

    def status_of(self, error: Exception, call: OpenCall[C]) -> RpcError:
        """What the caller is told of an error that left a handler; whatever is not an answer is logged, once."""
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if isinstance(error, RpcError):
            return error
        fields = {"method": call.method.path, **self._log_fields(call.context)}
        if isinstance(error, KasbahError) and not isinstance(error, Bug):
            _log.warning("call failed", error=str(error), **fields)
            return RpcError(StatusCode.UNAVAILABLE, str(error))
        _log.error("call crashed", exc_info=error, **fields)
        return RpcError(StatusCode.INTERNAL, f"a bug in the server: {type(error).__name__}")


class OpenCall(Generic[C]):
    """One call from its beginning to its end; its handler, but for what differs by the kind of method.

    Attributes:
        method: what is called.
        context: who calls.
    """

    def __init__(
        self, service: Service[C], call: Call, context: C, tasks: asyncio.TaskGroup, server: CallServer[C]
    ) -> None:
        self.method, self._handler = service
        self.context = context
        self._call = call
        self._tasks = tasks
        self._server = server
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._writable = asyncio.Event()
        server.opened(self)

    def end_well(self) -> None:
        """End it with status OK, whatever its handler is at."""
        self._finish()
        self._cancel()

    def cut(self, code: StatusCode, message: str) -> None:
        """End it with this status, whatever its handler is at."""
        self._refuse(code, message)
        self._cancel()

    def failed(self, code: StatusCode, message: str) -> None:  # noqa: ARG002 - nobody hears us, whatever the reason
        self._leave()
        self._cancel()

    def writable(self) -> None:
        self._writable.set()

    def _start(self, request: Message | AsyncIterator[Message]) -> None:
        answer = self._answer(request)
        try:
            self._task = self._tasks.create_task(answer, name=f"call {self.method.path}")
        except RuntimeError:  # the group takes no new tasks: we are being stopped
            answer.close()
            self._refuse(StatusCode.UNAVAILABLE, "the server stops")
        else:
            self._task.add_done_callback(lambda _: self._refuse(StatusCode.UNAVAILABLE, "the server stops"))

    async def _answer(self, request: Message | AsyncIterator[Message]) -> None:
        """Run the handler and send what it answers; a supervision border: nothing escapes but cancellation."""
        try:
            answer = self._handler(self.context, request)
            if isinstance(self.method, UnaryMethod):
                await self._send(await cast("Awaitable[Message]", answer))
            else:
                # Closed here and now when we are cancelled, and not whenever the collector comes by.
                async with aclosing(cast("AsyncGenerator[Message]", answer)) as responses:
                    async for response in responses:
                        await self._send(response)
        except Exception as error:  # noqa: BLE001 - a bug of ours must cost one call, not the process
            status = self._server.status_of(error, self)
            self._refuse(status.code, str(status))
        else:
            self._finish()

    async def _send(self, response: Message) -> None:
        self._writable.clear()
        if not self._call.send(response.SerializeToString()):
            await self._writable.wait()

    def _refuse(self, code: StatusCode, message: str) -> None:
        """End with a status other than OK, if it has not ended yet."""
        if self._leave():
            self._call.fail(code, message)

    def _finish(self) -> None:
        if self._leave():
            self._call.end()

    def _leave(self) -> bool:
        """Nothing more is said on this call; whether that is new."""
        was_over, self._over = self._over, True
        self._server.over(self)
        return not was_over

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


class _OneRequestCall(OpenCall[C]):
    """A unary or server-stream call: the handler runs when the request is there."""

    def message_received(self, message: bytes) -> None:
        self._call.consumed(len(message))
        if self._over:  # held back until we were here, and of no use after the one before it
            return
        if self._task is not None:
            self._refuse(StatusCode.INVALID_ARGUMENT, "a second request")
            self._cancel()
        elif len(message) > (limit := self._server.one_request_bytes):
            self._refuse(
                StatusCode.RESOURCE_EXHAUSTED,
                f"a request of {len(message)} bytes is over the limit of {limit}",
            )
        else:
            try:
                request = self.method.request.FromString(message)
            except DecodeError as error:
                self._refuse(StatusCode.INVALID_ARGUMENT, _malformed(self.method, error))
            else:
                self._start(request)

    def ended(self) -> None:
        if self._task is None:
            self._refuse(StatusCode.INVALID_ARGUMENT, "the call ended without a request")


class _BidiCall(OpenCall[C]):
    """The handler runs from the beginning and takes requests as it likes."""

    def __init__(
        self, service: Service[C], call: Call, context: C, tasks: asyncio.TaskGroup, server: CallServer[C]
    ) -> None:
        super().__init__(service, call, context, tasks, server)
        self._requests = _Requests(self.method, call)
        self._start(self._requests)

    def message_received(self, message: bytes) -> None:
        if not self._requests.add(message):
            self.cut(StatusCode.RESOURCE_EXHAUSTED, f"over {MAX_WAITING_MESSAGES} requests wait to be read")

    def ended(self) -> None:
        self._requests.end()


class _Requests:
    """The requests of one bidi call; as many wait as the carrier's window holds, and empty ones are counted, too."""

    def __init__(self, method: Method, call: Call) -> None:
        self._method = method
        self._call = call
        self._messages: deque[bytes] = deque()
        self._ended = False
        self._changed = asyncio.Event()

    def add(self, message: bytes) -> bool:
        """Whether there was room."""
        if len(self._messages) >= MAX_WAITING_MESSAGES:
            return False
        self._messages.append(message)
        self._changed.set()
        return True

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        while not self._messages:
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        message = self._messages.popleft()
        self._call.consumed(len(message))
        try:
            return cast("Message", self._method.request.FromString(message))
        except DecodeError as error:
            raise RpcError(StatusCode.INVALID_ARGUMENT, _malformed(self._method, error)) from error


def _malformed(method: Method, error: DecodeError) -> str:
    return f"not a {method.request.__name__}: {error}"


def _printable(path: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in path[:_MAX_PATH_SHOWN])
