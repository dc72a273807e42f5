"""The probes over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kasbah.agentk.module import LatestValue
from kasbah.agentk.observability.module import Observability
from kasbah.agentk.settings import ObservabilitySettings
from kasbah.errors import UserError
from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration


@contextlib.asynccontextmanager
async def running(settings: ObservabilitySettings, why_not_ready: str = "") -> AsyncIterator[None]:
    module = Observability(settings, lambda: why_not_ready)
    values: LatestValue[AgentConfiguration] = LatestValue()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(module.run(values))
        await asyncio.sleep(0.05)
        yield
        task.cancel()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> bytes:
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.asyncio
async def test_probes_and_metrics_answer(tmp_path: Path):
    path = str(tmp_path / "socket")
    settings = ObservabilitySettings(network="unix", address=path, address_given=True)
    async with running(settings, "there is no tunnel to kas"):
        liveness = await ask(*await asyncio.open_unix_connection(path), "/liveness")
        readiness = await ask(*await asyncio.open_unix_connection(path), "/readiness")
        metrics = await ask(*await asyncio.open_unix_connection(path), "/metrics")
    assert liveness.startswith(b"HTTP/1.1 200 ")
    assert readiness.startswith(b"HTTP/1.1 500 ")
    assert readiness.endswith(b"there is no tunnel to kas")
    assert b"\nprocess_resident_memory_bytes " in metrics


@pytest.mark.asyncio
async def test_a_taken_default_port_is_only_logged():
    with socket.create_server(("127.0.0.1", 0)) as taken, capture_logs() as logs:
        async with running(ObservabilitySettings(address=f"127.0.0.1:{taken.getsockname()[1]}")):
            pass
    assert [log["event"] for log in logs] == [
        "observability port is taken, going on without probes and metrics"
    ]


@pytest.mark.asyncio
async def test_a_taken_port_that_was_asked_for_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        module = Observability(ObservabilitySettings(address=address, address_given=True), lambda: "")
        with pytest.raises(UserError, match="cannot listen"):
            await module.run(LatestValue())
