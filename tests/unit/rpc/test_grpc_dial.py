"""Where a gRPC server is; that it is reached is in tests/integration/internal_api."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.errors import UserError
from kasbah.rpc.grpc_dial import GrpcAddress, GrpcDial, parse_grpc_address
from kasbah.wire.rpc import RpcError, StatusCode


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
