"""A real server on loopback for these tests: ASGI behind `/`, a few exchanges of our own behind other paths."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
import uvloop

from kasbah.kas.http_server.asgi import Application, AsgiBridge
from kasbah.kas.http_server.exchange import Route
from kasbah.kas.http_server.server import HttpServer, Listen
from kasbah.kas.http_server.settings import HttpServerSettings


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops must do: uvloop serves, asyncio is what is left without it."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass
class Running:
    server: HttpServer
    host: str
    port: int

    async def dialogue(self, request: bytes, *, half_close: bool = True) -> bytes:
        """Send these bytes, read until the server closes."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        with contextlib.suppress(ConnectionError):
            writer.write(request)
            if half_close:
                writer.write_eof()
        try:
            async with asyncio.timeout(5):
                return await reader.read()
        finally:
            writer.close()


Serve = Callable[..., contextlib.AbstractAsyncContextManager[Running]]


@contextlib.asynccontextmanager
async def serve_route(route: Route, settings: HttpServerSettings | None = None) -> AsyncIterator[Running]:
    server = HttpServer([Listen(host="127.0.0.1", port=0)], route, settings)
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run(ready.set))
        await ready.wait()
        host, port = server.addresses[0]
        try:
            yield Running(server, host, port)
        finally:
            running.cancel()


@contextlib.asynccontextmanager
async def serve_application(
    application: Application, settings: HttpServerSettings | None = None
) -> AsyncIterator[Running]:
    server = HttpServer([Listen(host="127.0.0.1", port=0)], lambda _head, _client: None, settings)
    bridge = AsgiBridge(application, server.clock)
    server.route = bridge.exchange
    ready, bridged = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(bridge.run(bridged.set)), group.create_task(server.run(ready.set))]
        await ready.wait()
        await bridged.wait()
        host, port = server.addresses[0]
        try:
            yield Running(server, host, port)
        finally:
            for task in tasks:
                task.cancel()


@pytest.fixture
def application_server() -> Serve:
    return serve_application


@pytest.fixture
def route_server() -> Serve:
    return serve_route
