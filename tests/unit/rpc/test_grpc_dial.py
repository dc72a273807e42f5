"""Where a gRPC server is; that it is reached is in tests/integration/internal_api."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from kasbah.errors import UserError
from kasbah.rpc import grpc_dial
from kasbah.rpc.grpc_dial import GrpcAddress, GrpcDial, parse_grpc_address
from kasbah.wire.grpc.connection import GrpcConnection
from kasbah.wire.grpc.engine import GrpcRole
from kasbah.wire.grpc.limits import GrpcLimits
from kasbah.wire.rpc import NOBODY, Call, CallHandler, Metadata, RpcError, StatusCode
from tests.doubles.loopback_agent import until
from tests.doubles.recording_call import RecordingCallHandler


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("grpc://127.0.0.1:8153", GrpcAddress(host="127.0.0.1", port=8153, tls=False)),
        ("grpcs://kas.example.com:443", GrpcAddress(host="kas.example.com", port=443, tls=True)),
        ("grpc://[::1]:8153", GrpcAddress(host="::1", port=8153, tls=False)),
    ],
)
def test_an_address_says_how_and_where(text: str, address: GrpcAddress):
    assert parse_grpc_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:8153",
        "http://127.0.0.1:8153",
        "grpc://127.0.0.1",
        "grpc://:8153",
        "grpc://host:99999",
        "grpc://host:x",
        "grpc://[::1:8153",
        "grpc://host:8153/x",
        "grpc://host:8153?x",
        "grpc://me@host:8153",
    ],
)
def test_another_text_is_none(text: str):
    with pytest.raises(UserError, match="is not grpc://HOST:PORT"):
        parse_grpc_address(text)


@pytest.mark.asyncio
async def test_a_server_that_cannot_be_reached_is_unavailable():
    dial = GrpcDial(GrpcAddress(host="127.0.0.1", port=1, tls=False), None, user_agent="test")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(dial.run())
        with pytest.raises(RpcError, match=r"grpc://127\.0\.0\.1:1 cannot be reached") as caught:
            await dial.caller()
        running.cancel()
    assert caught.value.code is StatusCode.UNAVAILABLE


class Server(GrpcConnection, asyncio.Protocol):
    """Takes one call a connection and answers none; when `mute`, it hears nothing any more."""

    mute = False
    lost = False

    def __init__(self, every: list[Server]) -> None:
        self.every = every

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        soon = asyncio.get_running_loop().call_soon
        limits = GrpcLimits(max_calls=1)
        super().__init__(
            GrpcRole.SERVER, cast("asyncio.Transport", transport), soon, websocket=False, limits=limits
        )
        self.every.append(self)

    def data_received(self, data: bytes) -> None:
        if not self.mute:
            super().data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        super().connection_lost(error)

    def call_opened(self, path: str, metadata: Metadata, call: Call) -> CallHandler:
        return NOBODY

    def going_away(self) -> None: ...


@pytest.mark.asyncio
async def test_a_connection_that_was_replaced_is_looked_after_to_its_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(grpc_dial, "_TICK_S", 0.01)
    every: list[Server] = []
    listener = await asyncio.get_running_loop().create_server(lambda: Server(every), "127.0.0.1", 0)
    address = GrpcAddress(host="127.0.0.1", port=listener.sockets[0].getsockname()[1], tls=False)
    limits = GrpcLimits(keepalive_s=0.05, keepalive_timeout_s=0.3)
    dial = GrpcDial(address, None, user_agent="test", limits=limits)
    given_up, cut, served = (RecordingCallHandler() for _ in range(3))

    async def open_call(handler: RecordingCallHandler) -> Call:
        call = (await dial.caller()).open_call("/a/B", handler)
        await until(
            lambda: every[-1].engine.call_count
        )  # its SETTINGS, and that it is full, are known by now
        return call

    async with listener, asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(dial.run())
        call = await open_call(given_up)
        await open_call(cut)
        await open_call(served)
        call.fail(StatusCode.CANCELLED)
        await until(lambda: every[0].lost)
        every[1].mute = True
        await until(lambda: bool(cut.said))
        running.cancel()
    await until(lambda: all(server.lost for server in every))
    assert len(every) == 3
    assert cut.said == [
        ("failed", (StatusCode.UNAVAILABLE, "timeout: the peer is silent, no answer to a ping"))
    ]
    assert served.said == [("failed", (StatusCode.UNAVAILABLE, "shutting down"))]
