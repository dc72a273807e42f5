"""gRPC connections of ours on loopback sockets, and a small service to call: what grpcio is held against."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from websockets.utils import apply_mask

from kasbah.wire.grpc.connection import GrpcConnection
from kasbah.wire.grpc.engine import GrpcLimits, GrpcRole
from kasbah.wire.rpc import Call, CallHandler, Metadata, StatusCode

UNARY, STREAM, BIDI, FAIL, SILENT, METADATA = (
    f"/test.Test/{name}" for name in ("Unary", "Stream", "Bidi", "Fail", "Silent", "Metadata")
)


class Shell(asyncio.Protocol):
    """An asyncio protocol around a `GrpcConnection`."""

    def __init__(self, make: Callable[[asyncio.Transport, Shell], GrpcConnection]) -> None:
        self._make = make
        self.connection: GrpcConnection
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.connection = self._make(transport, self)

    def data_received(self, data: bytes) -> None:
        self.connection.data_received(data)

    def eof_received(self) -> bool | None:
        return self.connection.eof_received()

    def pause_writing(self) -> None:
        self.connection.pause_writing()

    def resume_writing(self) -> None:
        self.connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.connection.connection_lost(exc)
        self.lost.set()


class EchoCall:
    """Answers one call of the test service; keeps back what the queue does not take."""

    def __init__(self, path: str, call: Call, log: asyncio.Queue[str]) -> None:
        self._path = path
        self._call = call
        self._log = log
        self._waiting: list[bytes] = []
        self._full = False
        self._ending = False

    def message_received(self, message: bytes) -> None:
        if self._path == FAIL:
            self._call.fail(StatusCode.NOT_FOUND, message.decode())
        elif self._path == STREAM:
            count, size = (int(word) for word in message.split())
            self._waiting += [b"%d" % i + bytes(size) for i in range(count)]
            self._ending = True
        elif self._path != SILENT:
            self._waiting.append(message)
            self._ending = self._path == UNARY
        self._call.consumed(len(message))
        if not self._full:
            self.writable()

    def ended(self) -> None:
        if self._path == BIDI:
            self._ending = True
            self.writable()

    def failed(self, code: StatusCode, message: str) -> None:
        self._log.put_nowait(f"{self._path} {code.name}")

    def writable(self) -> None:
        self._full = False
        while self._waiting and not self._full:
            self._full = not self._call.send(self._waiting.pop(0))
        if self._ending and not self._waiting:
            self._call.end()


class EchoServer(GrpcConnection):
    """The test service on one connection."""

    def __init__(
        self, transport: asyncio.Transport, log: asyncio.Queue[str], *, websocket: bool, limits: GrpcLimits
    ) -> None:
        self._log = log
        super().__init__(
            GrpcRole.SERVER,
            transport,
            asyncio.get_running_loop().call_soon,
            websocket=websocket,
            unmask=lambda data, key: bytes(apply_mask(data, key)),
            limits=limits,
        )

    def call_opened(self, path: str, metadata: Metadata, call: Call) -> CallHandler:
        if path not in {UNARY, STREAM, BIDI, FAIL, SILENT, METADATA}:
            call.fail(StatusCode.UNIMPLEMENTED, f"unknown method {path}")
        elif path == METADATA:
            call.send(repr(metadata).encode())
            call.end()
        return EchoCall(path, call, self._log)

    def going_away(self) -> None: ...


class Client(GrpcConnection):
    """A client's connection."""

    def __init__(self, transport: asyncio.Transport, *, websocket: bool, compress: bool) -> None:
        self.away = asyncio.Event()
        super().__init__(
            GrpcRole.CLIENT,
            transport,
            asyncio.get_running_loop().call_soon,
            websocket=websocket,
            authority="wss:%2F%2Fkas.example.test",
            user_agent="kasbah-test/1",
            compress=compress,
        )

    def going_away(self) -> None:
        self.away.set()


class Heard:
    """A caller's handler: what was heard, and an event for the end."""

    def __init__(self) -> None:
        self.call: Call | None = None
        self.messages: list[bytes] = []
        self.code: StatusCode | None = None
        self.reason = ""
        self.over = asyncio.Event()
        self.heard = asyncio.Event()
        self.room = asyncio.Event()

    def message_received(self, message: bytes) -> None:
        self.messages.append(message)
        self.heard.set()
        if self.call is not None:
            self.call.consumed(len(message))

    def ended(self) -> None:
        self.code = StatusCode.OK
        self.over.set()

    def failed(self, code: StatusCode, message: str) -> None:
        self.code, self.reason = code, message
        self.over.set()

    def writable(self) -> None:
        self.room.set()


def call(
    client: GrpcConnection, path: str, *messages: bytes, end: bool = True, metadata: Metadata = ()
) -> Heard:
    """Open a call, send the messages (without regard to the queue), and end our half."""
    heard = Heard()
    heard.call = client.engine.open_call(path, heard, metadata)
    for message in messages:
        heard.call.send(message)
    if end:
        heard.call.end()
    return heard


@asynccontextmanager
async def serving(
    *, websocket: bool = False, limits: GrpcLimits | None = None
) -> AsyncIterator[tuple[int, list[Shell], asyncio.Queue[str]]]:
    """The test service on a port of loopback: the port, its connections so far, and what was cancelled."""
    shells: list[Shell] = []
    log: asyncio.Queue[str] = asyncio.Queue()

    def make(transport: asyncio.Transport, shell: Shell) -> GrpcConnection:
        shells.append(shell)
        return EchoServer(transport, log, websocket=websocket, limits=limits or GrpcLimits())

    server = await asyncio.get_running_loop().create_server(lambda: Shell(make), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], shells, log
    finally:
        server.close()
        for shell in shells:
            if not shell.lost.is_set():
                shell.connection.abort("the test is over")
                await shell.lost.wait()
        await server.wait_closed()


@asynccontextmanager
async def connected(port: int, *, websocket: bool = False, compress: bool = False) -> AsyncIterator[Client]:
    """A client's connection to a port of loopback."""

    def make(transport: asyncio.Transport, _: Shell) -> GrpcConnection:
        return Client(transport, websocket=websocket, compress=compress)

    _, shell = await asyncio.get_running_loop().create_connection(lambda: Shell(make), "127.0.0.1", port)
    client = shell.connection
    assert isinstance(client, Client)
    try:
        yield client
    finally:
        client.close("the test is over")
        await shell.lost.wait()
