"""One request of an agent's module, as it comes in: its head first, then its body in pieces.

Guards the order of the messages, the length that was announced, the bounds and the time between two pieces. Knows
nothing of where the request goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from google.protobuf.message import DecodeError

from kasbah.kas.gitlab_access.settings import Settings
from kasbah.wire.automaton import Walk
from kasbah.wire.http_call.automaton import HTTP_REQUEST
from kasbah.wire.pb.gitlab.agent.gitlab_access.rpc.rpc_pb2 import HeaderExtra
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest
from kasbah.wire.rpc import RpcError, StatusCode

UNKNOWN_LENGTH = -1


class Upload:
    """Reads the messages of one call.

    Attributes:
        error: what was wrong with a piece of the body: whoever reads `body` may keep it to themselves.
    """

    def __init__(self, requests: AsyncIterator[HttpRequest], settings: Settings) -> None:
        self._requests = requests
        self._settings = settings
        self._walk = Walk(HTTP_REQUEST)
        self._length = UNKNOWN_LENGTH
        self._received = 0
        self._first: HttpRequest | None = None
        self.error: RpcError | None = None

    async def head(self) -> tuple[HttpRequest.Header, str]:
        """The head, and the name of the module that asks.

        Raises:
            RpcError: it cannot be served.
        """
        header = (await self._next()).header
        if not header.HasField("request"):
            raise RpcError(StatusCode.INVALID_ARGUMENT, "header.request must be given")
        module = _module_of(header)
        if any(name.lower() == "upgrade" for name in header.request.header):
            raise RpcError(StatusCode.UNAVAILABLE, "the Git side's modules do not upgrade connections")
        if header.HasField("content_length"):
            self._length = header.content_length
        if self._length < UNKNOWN_LENGTH:
            raise RpcError(StatusCode.INVALID_ARGUMENT, "header.content_length must be -1 or more")
        if self._length > self._settings.max_request_bytes:
            raise self._too_large()
        return header, module

    async def has_body(self) -> bool:
        """Whether there is a body; once, after `head`. One of length 0 is none.

        Raises:
            RpcError: as `body`.
        """
        self._first = await self._next()
        if self._first.HasField("trailer"):
            self._check_whole()
        return self._first.HasField("data")

    @property
    def length(self) -> int | None:
        """How many bytes were announced."""
        return None if self._length == UNKNOWN_LENGTH else self._length

    async def body(self) -> AsyncGenerator[bytes]:
        """The pieces of the body, if there is one.

        Raises:
            RpcError: the order of messages, a length or a bound is broken, or nothing comes.
        """
        try:
            message = self._first or await self._next()
            while message.HasField("data"):
                self._count(len(message.data.data))
                if message.data.data:
                    yield message.data.data
                message = await self._next()
            self._check_whole()
        except RpcError as error:
            self.error = error
            raise

    async def _next(self) -> HttpRequest:
        try:
            async with asyncio.timeout(self._settings.idle_timeout_s):
                message = await anext(self._requests)
        except StopAsyncIteration:
            self._walk.end()
            raise RpcError(StatusCode.INVALID_ARGUMENT, "the request ended early") from None
        except TimeoutError as error:
            raise RpcError(StatusCode.DEADLINE_EXCEEDED, "the rest of the request did not come") from error
        self._walk.step(message.WhichOneof("message"))
        return message

    def _count(self, size: int) -> None:
        self._received += size
        if self._received > self._settings.max_request_bytes:
            raise self._too_large()
        if self._length != UNKNOWN_LENGTH and self._received > self._length:
            raise RpcError(
                StatusCode.INTERNAL, f"more data than the announced content_length of {self._length} bytes"
            )

    def _check_whole(self) -> None:
        if self._length not in {UNKNOWN_LENGTH, self._received}:
            raise RpcError(
                StatusCode.INTERNAL, f"{self._received} bytes instead of the announced {self._length}"
            )

    def _too_large(self) -> RpcError:
        return RpcError(
            StatusCode.RESOURCE_EXHAUSTED,
            f"the request is over the limit of {self._settings.max_request_bytes} bytes",
        )


def _module_of(header: HttpRequest.Header) -> str:
    extra = HeaderExtra()
    try:
        if not header.extra.Unpack(extra) or not extra.module_name:
            raise RpcError(StatusCode.INVALID_ARGUMENT, "header.extra must name a module")
    except DecodeError as error:
        raise RpcError(StatusCode.INVALID_ARGUMENT, "header.extra is no HeaderExtra") from error
    return extra.module_name
