"""An agent whose gRPC is Google's: opens tunnels to kas and lets the test say what goes through them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import grpc.aio

from kasbah.wire.methods import CONNECT
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest, HttpResponse
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import HttpResponse as ResponseHead
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import (
    ConnectRequest,
    ConnectResponse,
    Header,
    Message,
    Trailer,
)
from kasbah.wire.reverse_tunnel.descriptor import KUBERNETES_API_DESCRIPTOR
from kasbah.wire.rpc import BidiMethod, Method, ServerStreamMethod

TOKEN = "glagent-good"
DESCRIPTOR = ConnectRequest.FromString(KUBERNETES_API_DESCRIPTOR)


def bearer(token: str = TOKEN) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


class GrpcAgent:
    """One channel to kas."""

    def __init__(
        self,
        target: str,
        *,
        token: str = TOKEN,
        credentials: grpc.ChannelCredentials | None = None,
        compression: grpc.Compression | None = None,
        options: tuple[tuple[str, Any], ...] = (),
    ) -> None:
        self.token = token
        # Not shared with other tests' channels.
        options = (("grpc.use_local_subchannel_pool", 1), *options)
        self.channel = (
            grpc.aio.insecure_channel(target, options, compression)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options, compression)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()

    def call(self, method: Method, *arguments: Any, metadata: Any = None, **options: Any) -> Any:
        """Begin a call, as grpcio's multicallables do; with the agent's token unless metadata are given."""
        if isinstance(method, BidiMethod):
            make = self.channel.stream_stream
        elif isinstance(method, ServerStreamMethod):
            make = self.channel.unary_stream
        else:
            make = self.channel.unary_unary
        callable_ = make(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        return callable_(*arguments, metadata=bearer(self.token) if metadata is None else metadata, **options)

    async def connect(self, descriptor: ConnectRequest = DESCRIPTOR) -> Tunnel:
        """Open a tunnel and say what is served."""
        tunnel = Tunnel(self.call(CONNECT))
        with contextlib.suppress(grpc.aio.AioRpcError):  # refused before we had spoken: its status tells
            await tunnel.call.write(descriptor)
        return tunnel


async def status_of(call: Any) -> tuple[grpc.StatusCode, str]:
    """How a call ends; what it still says is read and thrown away, for grpcio tells no status before."""
    async with asyncio.timeout(5):
        if hasattr(call, "read"):
            with contextlib.suppress(grpc.aio.AioRpcError):
                while await call.read() is not grpc.aio.EOF:
                    pass
        return await call.code(), await call.details()


@dataclass
class Tunnel:
    """One tunnel, and the request that comes through it."""

    call: Any
    request: HttpRequest.Header = field(default_factory=HttpRequest.Header)
    meta: dict[str, list[str]] = field(default_factory=dict)
    said_header: bool = False

    async def read(self) -> ConnectResponse | None:
        """The next word of kas; None at the end."""
        response = await self.call.read()
        return None if response is grpc.aio.EOF else response

    async def accept(self) -> HttpRequest.Header:
        """Wait for a request: its head."""
        response = await self.read()
        assert response is not None, "kas ended the tunnel"
        assert response.WhichOneof("msg") == "request_info", response
        self.meta = {key: list(values.value) for key, values in response.request_info.meta.items()}
        first = await self.next()
        assert first is not None
        self.request = first.header
        return self.request

    async def next(self) -> HttpRequest | None:
        """The next message of the request; None when kas has said all."""
        response = await self.read()
        if response is None or response.WhichOneof("msg") == "close_send":
            return None
        assert response.WhichOneof("msg") == "message", response
        return HttpRequest.FromString(response.message.data)

    async def body(self) -> bytes:
        """The whole body, up to the end of what kas says."""
        body = b""
        while (message := await self.next()) is not None:
            body += message.data.data
        return body

    async def say(self, *messages: HttpResponse) -> None:
        """Words of the answer; the tunnel's header goes before the first."""
        if not self.said_header:
            self.said_header = True
            await self.call.write(ConnectRequest(header=Header()))
        for message in messages:
            await self.call.write(ConnectRequest(message=Message(data=message.SerializeToString())))

    async def say_head(self, status: int = 200, **headers: str) -> None:
        head = ResponseHead(
            status_code=status,
            status=str(status),
            header={name.replace("_", "-").title(): Values(value=[value]) for name, value in headers.items()},
        )
        await self.say(HttpResponse(header=HttpResponse.Header(response=head)))

    async def say_data(self, data: bytes) -> None:
        await self.say(HttpResponse(data=HttpResponse.Data(data=data)))

    async def say_upgraded(self, data: bytes) -> None:
        await self.say(HttpResponse(upgradeData=HttpResponse.UpgradeData(data=data)))

    async def say_trailer(self) -> None:
        await self.say(HttpResponse(trailer=HttpResponse.Trailer()))

    async def end(self) -> None:
        """The answer is over, and the tunnel with it."""
        await self.call.write(ConnectRequest(trailer=Trailer()))
        await self.call.done_writing()

    async def answer(self, body: bytes = b"{}", status: int = 200) -> None:
        """A whole answer."""
        await self.say_head(status, content_type="application/json")
        await self.say_data(body)
        await self.say_trailer()
        await self.end()


@contextlib.asynccontextmanager
async def serving(
    agent: GrpcAgent, answer: Callable[[Tunnel], Awaitable[None]], tunnels: int = 2
) -> AsyncIterator[None]:
    """Keep so many tunnels open, each with one request for `answer` and then another, as an agent does."""

    async def serve() -> None:
        while True:
            tunnel = await agent.connect()
            await tunnel.accept()
            await answer(tunnel)

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(serve()) for _ in range(tunnels)]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
