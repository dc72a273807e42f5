"""A kas whose gRPC is Google's: serves GitLab's three calls and lets the test use the tunnels that agentk opens.

What it expects of an agent and what it answers is what GitLab's kas does; our own kas passes the same dialogues with
our own agentk in `tests/integration/reverse_tunnel`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from kasbah.wire.methods import (
    CONNECT,
    GET_CONFIGURATION,
    KUBERNETES_API_MAKE_REQUEST,
    REGISTER,
    UNREGISTER,
)
from kasbah.wire.pb.gitlab.agent.agent_configuration.rpc.rpc_pb2 import ConfigurationResponse
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest, HttpResponse
from kasbah.wire.pb.gitlab.agent.kubernetes_api.rpc.rpc_pb2 import HeaderExtra
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import HttpRequest as RequestHead
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import (
    CloseSend,
    ConnectRequest,
    ConnectResponse,
    Message,
    RequestInfo,
)

Metadata = dict[str, str]


@dataclass
class KasTunnel:
    """One tunnel, kas' end."""

    context: Any
    used: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def say(self, **arm: Any) -> None:
        await self.context.write(ConnectResponse(**arm))

    async def read(self) -> ConnectRequest | None:
        """The next word of the agent; None when it has said all."""
        word = await self.context.read()
        return None if word is grpc.aio.EOF else word


@dataclass
class Answer:
    """What came back for one request.

    Attributes:
        status: 0 while there is no head.
        error: code and text, when agentk says that the exchange failed.
    """

    status: int = 0
    headers: Metadata = field(default_factory=dict)
    body: bytes = b""
    error: tuple[int, str] | None = None
    ended: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class GrpcKas(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """Attributes:
    refusal: the status that every call ends with.
    registered, unregistered: what pods said, with the call's metadata.
    asked: the commit each call for a configuration said it had.
    """

    def __init__(self) -> None:
        self.refusal: tuple[grpc.StatusCode, str] | None = None
        self.configuration: ConfigurationResponse | None = None
        self.registered: list[tuple[Metadata, Any]] = []
        self.unregistered: list[Any] = []
        self.asked: list[str] = []
        self.tunnels: list[KasTunnel] = []
        self.connect_metadata: list[Metadata] = []
        self.refused_tunnels = 0
        self._configuration_calls: set[asyncio.Event] = set()
        self.port = 0

    # -- serving -------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def serving(
        self, host: str = "127.0.0.1", credentials: grpc.ServerCredentials | None = None
    ) -> AsyncIterator[GrpcKas]:
        """On a port of loopback; the second time on the same one."""
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((self,))
        where = f"{host}:{self.port}"
        self.port = (
            server.add_insecure_port(where)
            if credentials is None
            else server.add_secure_port(where, credentials)
        )
        await server.start()
        try:
            yield self
        finally:
            self.end_tunnels()
            self.end_configuration_calls()
            await server.stop(0)

    @contextlib.asynccontextmanager
    async def in_websockets(
        self,
        subprotocols: list[Any] | None,
        context: ssl.SSLContext | None = None,
    ) -> AsyncIterator[tuple[int, list[ServerConnection]]]:
        """The same in WebSockets: their port, and the handshakes so far. Needs `serving` around it."""
        handshakes: list[ServerConnection] = []

        async def splice(websocket: ServerConnection) -> None:
            handshakes.append(websocket)
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)

            async def up() -> None:
                with contextlib.suppress(ConnectionClosed):
                    async for piece in websocket:
                        writer.write(piece if isinstance(piece, bytes) else piece.encode())
                writer.close()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(up())
                with contextlib.suppress(ConnectionClosed, ConnectionError):
                    while piece := await reader.read(65536):
                        await websocket.send(piece)
                await websocket.close()

        async with serve(
            splice, "127.0.0.1", 0, subprotocols=subprotocols, compression=None, ssl=context
        ) as server:
            yield next(iter(server.sockets)).getsockname()[1], handshakes

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        handlers: dict[str, tuple[Any, Callable[..., Any], Any]] = {
            REGISTER.path: (REGISTER, self._register, grpc.unary_unary_rpc_method_handler),
            UNREGISTER.path: (UNREGISTER, self._unregister, grpc.unary_unary_rpc_method_handler),
            GET_CONFIGURATION.path: (
                GET_CONFIGURATION,
                self._configure,
                grpc.unary_stream_rpc_method_handler,
            ),
            CONNECT.path: (CONNECT, self._connect, grpc.stream_stream_rpc_method_handler),
        }
        if details.method not in handlers:
            return None
        method, handler, make = handlers[details.method]
        made: grpc.RpcMethodHandler = make(
            handler,
            request_deserializer=method.request.FromString,
            response_serializer=method.response.SerializeToString,
        )
        return made

    async def _register(self, request: Any, context: Any) -> Any:
        await self._authenticate(context)
        self.registered.append((_metadata(context), request))
        return REGISTER.response()

    async def _unregister(self, request: Any, context: Any) -> Any:
        await self._authenticate(context)
        self.unregistered.append(request)
        return UNREGISTER.response()

    async def _configure(self, request: Any, context: Any) -> None:
        await self._authenticate(context)
        self.asked.append(request.commit_id)
        if self.configuration is not None and self.configuration.commit_id != request.commit_id:
            await context.write(self.configuration)
        over = asyncio.Event()
        self._configuration_calls.add(over)
        await over.wait()

    async def _connect(self, _: Any, context: Any) -> None:
        if self.refusal is not None:
            self.refused_tunnels += 1
        await self._authenticate(context)
        self.connect_metadata.append(_metadata(context))
        tunnel = KasTunnel(context)
        first = await tunnel.read()
        if first is None or first.WhichOneof("msg") != "descriptor":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no descriptor")
        self.tunnels.append(tunnel)
        try:
            await tunnel.over.wait()
        finally:
            self.tunnels.remove(tunnel)

    async def _authenticate(self, context: Any) -> None:
        if self.refusal is not None:
            await context.abort(*self.refusal)

    # -- what the test does --------------------------------------------------------------------------------------

    @property
    def idle(self) -> list[KasTunnel]:
        return [tunnel for tunnel in self.tunnels if not tunnel.used]

    def end_tunnels(self) -> None:
        """Idle ones end with OK: the connection has become old."""
        for tunnel in self.idle:
            tunnel.over.set()

    def end_configuration_calls(self) -> None:
        """The same for the long polls."""
        for over in self._configuration_calls:
            over.set()
        self._configuration_calls.clear()

    def send(
        self,
        method: str,
        path: str,
        *,
        headers: Metadata | None = None,
        query: Metadata | None = None,
        content_length: int | None = 0,
        impersonate: str = "",
    ) -> HttpRequest:
        """A request's head as GitLab's kas sends it."""
        head = HttpRequest.Header(
            request=RequestHead(
                method=method,
                url_path=path,
                header={name: Values(value=[value]) for name, value in (headers or {}).items()},
                query={name: Values(value=[value]) for name, value in (query or {}).items()},
            ),
            content_length=content_length,
        )
        if impersonate:
            head.extra.Pack(HeaderExtra(imp_config={"username": impersonate}))  # type: ignore[arg-type]
        return HttpRequest(header=head)

    async def ask(self, head: HttpRequest, answer: Answer | None = None) -> Answer:
        """One request without a body through an idle tunnel, until its answer is over."""
        answer = answer or Answer()
        tunnel = self.idle[0]
        tunnel.used = True
        try:
            await tunnel.say(request_info=RequestInfo(method_name=KUBERNETES_API_MAKE_REQUEST.path))
            for message in (head, HttpRequest(trailer=HttpRequest.Trailer())):
                await tunnel.say(message=Message(data=message.SerializeToString()))
            await tunnel.say(close_send=CloseSend())
            while (word := await tunnel.read()) is not None:
                _hear(answer, word)
        finally:
            answer.ended = True
            answer.changed.set()
            tunnel.over.set()
        return answer


def _hear(answer: Answer, word: ConnectRequest) -> None:
    arm = word.WhichOneof("msg")
    if arm == "error":
        answer.error = (word.error.status.code, word.error.status.message)
    elif arm == "message":
        message = HttpResponse.FromString(word.message.data)
        if message.WhichOneof("message") == "header":
            head = message.header.response
            answer.status = head.status_code
            answer.headers = {name: ", ".join(values.value) for name, values in head.header.items()}
        answer.body += message.data.data
    answer.changed.set()


def _metadata(context: Any) -> Metadata:
    return {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
