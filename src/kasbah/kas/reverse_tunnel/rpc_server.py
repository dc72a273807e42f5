"""Answers an agent's calls: one stream of the tunnel is one call.

The same handlers answer over gRPC; here a message is framed by `wire.rpc` and a status other than OK travels as a
reset with code 1000 + status.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing
from typing import Any, Final, cast

import structlog
from google.protobuf.message import Message

from kasbah.errors import KasbahError
from kasbah.kas.reverse_tunnel.call import AgentCall, Handler, Service
from kasbah.wire.native_tunnel.stream import Stream
from kasbah.wire.rpc import (
    RESET_CODE_BASE,
    MessageReader,
    RpcError,
    ServerStreamMethod,
    StatusCode,
    encode_message,
)

_log = structlog.get_logger()
MAX_REQUEST_BYTES: Final = 64 * 1024
"""What an agent says in a call is short; the answers may be long."""


class RpcServer:
    """The methods this kas answers, by path."""

    def __init__(self, services: list[Service]) -> None:
        self._services: Mapping[str, Service] = {
            method.path: (method, handler) for method, handler in services
        }
        self._answering: set[RpcStream] = set()

    def accept(self, opening: bytes, stream: Stream, call: AgentCall, tasks: asyncio.TaskGroup) -> RpcStream:
        """Begin one call; the task that answers it belongs to `tasks`."""
        path = opening.decode(errors="replace")
        service = self._services.get(path)
        if service is None:
            stream.reset(RESET_CODE_BASE + StatusCode.UNIMPLEMENTED, f"unknown method {path[:256]}")
        return RpcStream(service, stream, call, tasks, self._answering)

    def end_long_calls(self) -> None:
        """End the calls that stream answers, as if they had nothing more to say: agents call again elsewhere."""
        for stream in list(self._answering):
            stream.end_if_long()


class RpcStream:
    """One call being answered; the stream's handler."""

    def __init__(
        self,
        service: Service | None,
        stream: Stream,
        call: AgentCall,
        tasks: asyncio.TaskGroup,
        answering: set[RpcStream],
    ) -> None:
        """`answering` holds this stream while its handler runs."""
        self._service = service
        self._stream = stream
        self._call = call
        self._tasks = tasks
        self._answering = answering
        self._reader: MessageReader[Message] | None = (
            MessageReader(service[0].request, MAX_REQUEST_BYTES) if service else None
        )
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()

    def head_received(self, head: bytes) -> None:
        """Calls have no heads."""

    def data_received(self, data: bytes) -> None:
        self._stream.consumed(len(data))
        if self._reader is None or self._service is None:
            return
        try:
            requests = self._reader.receive(data)
        except RpcError as error:
            self._fail(error)
            return
        if requests and self._task is None:
            method, handler = self._service
            self._task = self._tasks.create_task(
                self._answer(handler, requests[0], streams=isinstance(method, ServerStreamMethod)),
                name=f"rpc {method.path}",
            )

    def ended(self) -> None:
        if self._task is None:
            self._fail(RpcError(StatusCode.INVALID_ARGUMENT, "the call ended without a request"))

    def reset(self, code: int, message: str) -> None:  # noqa: ARG002 - the agent gave up, whatever the reason
        if self._task is not None:
            self._task.cancel()

    def writable(self) -> None:
        self._writable.set()

    def end_if_long(self) -> None:
        """While kas drains: a call that may go on for ever ends well."""
        if self._task is not None and self._service and isinstance(self._service[0], ServerStreamMethod):
            self._task.cancel()
            self._stream.end()

    async def _answer(self, handler: Handler, request: Message, *, streams: bool) -> None:
        """Run the handler and send what it answers; a supervision border: nothing escapes but cancellation."""
        self._answering.add(self)
        try:
            answer: Any = handler(self._call, request)
            if streams:
                # Closed here and now when we are cancelled, and not whenever the collector comes by.
                async with aclosing(cast("AsyncGenerator[Message]", answer)) as responses:
                    async for response in responses:
                        await self._send(response)
            else:
                await self._send(await cast("Awaitable[Message]", answer))
        except RpcError as error:
            self._fail(error)
        except KasbahError as error:
            _log.warning("call failed", agent_id=self._call.agent.agent_id, error=str(error))
            self._fail(RpcError(StatusCode.UNAVAILABLE, str(error)))
        except Exception as error:  # noqa: BLE001 - a bug of ours must cost one call, not the process
            _log.exception("call crashed", agent_id=self._call.agent.agent_id)
            self._fail(RpcError(StatusCode.INTERNAL, f"a bug in kas: {type(error).__name__}"))
        else:
            self._stream.end()
        finally:
            self._answering.discard(self)

    async def _send(self, response: Message) -> None:
        self._writable.clear()
        if not self._stream.send(encode_message(response)):
            await self._writable.wait()

    def _fail(self, error: RpcError) -> None:
        self._reader = None
        self._stream.reset(RESET_CODE_BASE + error.code, str(error))
