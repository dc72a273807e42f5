"""Tunnels and connections that come and go: nothing of them stays.

By hand, with the numbers of a bad day: `KASBAH_DROPS=24000 pytest -s tests/integration/hostile/test_drops.py`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from kasbah.wire.methods import CONNECT
from kasbah.wire.reverse_tunnel.descriptor import KUBERNETES_API_DESCRIPTOR
from tests.doubles.hostile_grpc import (
    RST,
    Face,
    HostileGrpc,
    block,
    data,
    frame,
    headers,
    hostile,
)
from tests.doubles.running_agentk import until
from tests.integration.hostile.conftest import QUICK, Scene, bystander, kas_among_hostiles, token_of

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(600)]

TUNNELS = int(os.environ.get("KASBAH_DROPS", "2400"))
CONNECTIONS = TUNNELS // 12
AT_ONCE = 400
CANCEL = b"\0\0\0\x08"
_OURS = ("call ", "agent ", "tunnel ")
"""What kas calls its tasks; the bystander's gRPC has some, too."""
_GAUGES = (
    "kasbah_kas_grpc_tunnels",
    "kasbah_kas_tunnels_ready",
    "kasbah_kas_agents_connected",
    "kasbah_kas_http_connections",
)


def told(figures_: str) -> None:
    """For who runs it by hand."""
    sys.stdout.write(f"{figures_}\n")


def resident_mib() -> float:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE") / 2**20


def gauges() -> dict[str, float]:
    return {
        f"{sample.name} {sample.labels}": sample.value
        for metric in REGISTRY.collect()
        if metric.name in _GAUGES
        for sample in metric.samples
    }


def figures(scene: Scene) -> dict[str, object]:
    """What must be as it was."""
    gc.collect()
    return {
        "tasks": sum(task.get_name().startswith(_OURS) for task in asyncio.all_tasks()),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "connections": scene.connections,
        "strangers": scene.strangers,
        "calls": len(scene.kas._tunnels.rpc._open),
        **gauges(),
    }


def as_before(after: dict[str, object], before: dict[str, object]) -> bool:
    """The same, and no more descriptors: what the tests before had open may be closed meanwhile."""
    fewer = int(str(after["descriptors"])) <= int(str(before["descriptors"]))
    return fewer and after | {"descriptors": 0} == before | {"descriptors": 0}


def tunnels(count: int, agent_id: int, first: int) -> tuple[bytes, bytes]:
    """So many opened, and so many dropped."""
    called = block(CONNECT.path, token_of(agent_id))
    ids = range(first, first + 2 * count, 2)
    opened = b"".join(headers(i, called) + data(i, KUBERNETES_API_DESCRIPTOR) for i in ids)
    return opened, b"".join(frame(RST, i, CANCEL) for i in ids)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with capture_logs():
        yield


@pytest.mark.parametrize("connections", [1, 6])
async def test_tunnels_that_are_opened_and_dropped_leave_nothing(connections: int):
    """Slowly enough to be no flood: in one connection, and in several at once."""
    async with kas_among_hostiles() as scene, bystander(scene, patience_s=5) as beside:
        await asyncio.sleep(0.2)
        before, mib = None, resident_mib()
        for turn in range(2):  # the second time shows what stays of the first
            peers = [HostileGrpc(scene.port) for _ in range(connections)]
            for peer in peers:
                peer.greet()
            for round_ in range(TUNNELS // 2 // AT_ONCE // connections):
                for number, peer in enumerate(peers):
                    opened, dropped = tunnels(AT_ONCE, 2 + number, 1 + 2 * AT_ONCE * round_)
                    await asyncio.to_thread(peer.say, opened)
                    agent_id = 2 + number
                    await until(lambda: scene.tunnels(agent_id) == AT_ONCE)  # noqa: B023
                    await asyncio.to_thread(peer.say, dropped)
                    await until(lambda: scene.tunnels(agent_id) == 0)  # noqa: B023
                for connection in scene.kas._tunnels._connections:
                    connection.engine._floods.tick(connection.engine._floods._began + 10)  # ten seconds later
            for peer in peers:
                assert not peer.goaways
                await asyncio.to_thread(peer.end)
            await until(lambda: scene.connections == 1)
            if turn == 0:
                before = figures(scene)
        after = figures(scene)
    told(
        f"{TUNNELS} tunnels, {connections} connections: {mib:.0f} -> {resident_mib():.0f} MiB, slowest {beside.slowest:.3f} s"
    )
    assert before is not None
    moving = ("descriptors", "kasbah_kas_grpc_tunnels", "kasbah_kas_http")  # the bystander's
    assert {k: v for k, v in after.items() if not k.startswith(moving)} == {
        k: v for k, v in before.items() if not k.startswith(moving)
    }
    assert abs(int(str(after["descriptors"])) - int(str(before["descriptors"]))) <= 6


@pytest.mark.parametrize("face", ["plain", "websocket", "tls"])
async def test_connections_that_come_and_go_leave_nothing(certificates, face: Face):
    """In every state in which one can be left."""
    async with kas_among_hostiles(certificates) as scene:
        opened, _ = tunnels(3, 2, 1)
        words = [b"", opened[:20], opened, headers(1, block(CONNECT.path, None))]

        def come_and_go(count: int) -> None:
            for number in range(count):
                peer = HostileGrpc(scene.port_of(face), face, reads=False)
                peer.greet()
                peer.say(words[number % len(words)])
                peer.end()

        await asyncio.to_thread(come_and_go, 20)
        await asyncio.sleep(0.3)  # what was accepted last is not counted yet
        await until(lambda: scene.connections == scene.strangers == 0)
        before, mib = figures(scene), resident_mib()
        await asyncio.to_thread(come_and_go, CONNECTIONS)
        await until(lambda: as_before(figures(scene), before))
        told(f"{CONNECTIONS} connections, {face}: {mib:.0f} -> {resident_mib():.0f} MiB")


async def test_what_strangers_hold_is_bounded():
    """Each connection says as much as it may before its token was looked up, and no answer comes."""
    forever, patient = asyncio.Event(), replace(QUICK, greeting_timeout_s=30)
    async with kas_among_hostiles(settings=patient) as scene:

        async def never(*_: object) -> None:
            await forever.wait()

        scene.kas._tunnels._hub.agent_info = never  # type: ignore[method-assign,assignment]
        called = block(CONNECT.path, token_of(2))
        said = b"".join(headers(i, called) + data(i, bytes(60_000)) for i in range(1, 41, 2))
        gc.collect()
        mib, peers = resident_mib(), [HostileGrpc(scene.port) for _ in range(50)]
        for peer in peers:
            peer.greet()
            await asyncio.to_thread(peer.say, said)
        await until(lambda: scene.connections == 50)
        await asyncio.sleep(0.2)
        held = resident_mib() - mib
        told(f"50 strangers who said 1.2 MB each: {held:.0f} MiB")
        assert held < 50 * 0.6 + 20
        for peer in peers:
            await asyncio.to_thread(peer.end)
        await until(lambda: scene.connections == 0)
        forever.set()


async def test_half_messages_of_many_calls_are_bounded():
    """500 calls, each with a message of 4 MiB that never ends."""
    async with kas_among_hostiles() as scene, bystander(scene), hostile(scene.port) as peer:
        called = block(CONNECT.path, token_of(2))
        peer.say(headers(1, called) + data(1, KUBERNETES_API_DESCRIPTOR))
        await until(lambda: scene.tunnels(2) == 1)
        gc.collect()
        mib = resident_mib()
        half = b"\0" + (4 << 20).to_bytes(4) + bytes(16_000)
        ids = range(3, 999, 2)
        peer.say(b"".join(headers(i, called) for i in ids))

        def say_all() -> None:
            for _ in range(10):
                peer.say(b"".join(frame(0, i, half) for i in ids))

        await asyncio.to_thread(say_all)
        await asyncio.sleep(0.3)
        held = resident_mib() - mib
        told(f"498 calls with 160 KB of 4 MiB each: {held:.0f} MiB")
        assert held < 100
