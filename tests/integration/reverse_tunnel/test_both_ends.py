"""Our whole kas with our whole agentk, over every transport and either tunnel: the same requests, the same answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kasbah.kas.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.kit.local_ca import LocalCertificates, ensure_local_ca
from tests.doubles.running_agentk import agentk, api_server, until

PATH = "/-/kubernetes-agent/"


@dataclass
class Way:
    scheme: str
    tunnel: str

    @property
    def is_grpc(self) -> bool:
        return self.scheme.startswith("grpc") or self.tunnel == "grpc"


PLAIN = [Way("ws", "native"), Way("ws", "grpc"), Way("grpc", "auto")]
SECURE = [Way("wss", "native"), Way("wss", "grpc"), Way("grpcs", "auto")]


def named(way: Way) -> str:
    return f"{way.scheme} {way.tunnel}"


@contextlib.asynccontextmanager
async def pair(
    world_with, way: Way, certificates: LocalCertificates | None = None, **settings
) -> AsyncIterator:
    """kas, agentk and an API server; agentk is connected."""
    quick = ReverseTunnelSettings(token_check_interval_s=0.1, drain_timeout_s=5, **settings)
    async with world_with(quick, certificates=certificates) as world, api_server() as api:
        path = PATH if way.scheme.startswith("ws") else ""
        address = f"{way.scheme}://127.0.0.1:{world.port}{path}"
        authority = [f"--kas-ca-cert-file={certificates.ca_certificate}"] if certificates else []
        async with agentk(address, api, f"--kas-tunnel={way.tunnel}", *authority) as agent:
            await until(lambda: world.registry.count(7) and not agent.why_not_ready)
            yield world, api, agent


@pytest.mark.asyncio
@pytest.mark.parametrize("way", PLAIN, ids=named)
async def test_a_request_with_and_without_a_body(world_with, way: Way):
    async with pair(world_with, way) as (world, api, _):
        plain = await world.get(b"GET /api/v1/pods?limit=5")
        body = bytes(range(256)) * 4096
        echoed = await world.get(b"PUT /api/x", b"Content-Length: %d\r\n" % len(body), body)
    assert (plain.status, echoed.status, echoed.body == body) == (200, 200, True)
    assert api.heads[0].startswith("GET /api/v1/pods?limit=5 HTTP/1.1\r\n")
    assert "Transfer-Encoding" not in api.heads[0]


@pytest.mark.asyncio
@pytest.mark.parametrize("way", PLAIN, ids=named)
async def test_an_event_of_a_watch_arrives_when_it_happens_and_a_hang_up_is_noticed(world_with, way: Way):
    async with pair(world_with, way) as (world, api, agent):
        async with world.person() as person:
            person.ask(b"GET /api/v1/pods?watch=true")
            assert b" 200 " in await person.head()
            for event in (b"one", b"two"):
                await api.more.put(event)
                assert await person.chunk() == event
        kubernetes_api = agent.agentk._everywhere[0][0]
        await until(lambda: kubernetes_api.open_requests == 0, 3)


@pytest.mark.asyncio
@pytest.mark.parametrize("way", PLAIN, ids=named)
async def test_an_upgrade_is_a_pipe(world_with, way: Way):
    async with pair(world_with, way) as (world, _, _), world.person() as person:
        upgrade = b"Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        person.ask(b"POST /api/v1/namespaces/a/pods/b/exec?command=sh", upgrade)
        assert b" 101 " in await person.head()
        for word in (b"ls\n", b"exit\n"):
            person.writer.write(word)
            async with asyncio.timeout(3):
                assert await person.reader.readexactly(len(word)) == word


@pytest.mark.asyncio
@pytest.mark.parametrize("way", PLAIN, ids=named)
async def test_two_hundred_requests_at_once(world_with, way: Way):
    async with pair(world_with, way) as (world, _, _), asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(world.get(b"GET /api/%d" % number)) for number in range(200)]
    assert {each.result().status for each in asked} == {200}


@pytest.mark.asyncio
@pytest.mark.parametrize("way", PLAIN, ids=named)
async def test_a_pod_that_stops_lets_a_watch_end_and_takes_nothing_new(world_with, way: Way):
    async with pair(world_with, way) as (world, api, agent), world.person() as person:
        person.ask(b"GET /api/v1/pods?watch=true")
        await person.head()
        agent.stop.set()
        await until(lambda: not any(pod.can_open for pod in world.registry._tunnels.get(7, ())))
        await api.more.put(b"late")
        assert await person.chunk() == b"late"
        assert not agent.task.done()
        await api.more.put(None)
        assert await person.chunk() == b""
        await until(agent.task.done, 3)


@pytest.mark.asyncio
@pytest.mark.parametrize("way", PLAIN, ids=named)
async def test_a_revoked_token_is_said_within_seconds(world_with, way: Way):
    with capture_logs() as logs:
        async with pair(world_with, way) as (world, _, _):
            world.hub.token = "glagent-other"
            await until(
                lambda: any("unauthenticated" in str(log) for log in logs if log["log_level"] == "warning"),
                10,
            )


@pytest.mark.asyncio
@pytest.mark.parametrize("way", PLAIN, ids=named)
async def test_connections_that_become_old_are_replaced_and_nobody_notices(world_with, way: Way):
    with capture_logs() as logs:
        async with pair(world_with, way, max_connection_age_s=2.5) as (world, api, agent):
            async with world.person() as person:
                person.ask(b"GET /api/v1/pods?watch=true")
                await person.head()
                tunnel = agent.agentk._tunnel
                first, ended = tunnel._current, asyncio.get_running_loop().time() + 6
                while asyncio.get_running_loop().time() < ended:
                    assert (await world.get(b"GET /api/x")).status == 200
                await api.more.put(b"still here")
                assert await person.chunk() == b"still here"
                assert tunnel._current is not first
                await api.more.put(None)
            await until(lambda: len(tunnel._connections) <= 2, 4)
    assert not [log for log in logs if log.get("component") == "reverse_tunnel"]
    assert not [log for log in logs if log["event"] == "kas refuses tunnels"]


@pytest.mark.asyncio
@pytest.mark.parametrize("way", SECURE, ids=named)
async def test_over_tls(world_with, way: Way, tmp_path: Path):
    certificates = ensure_local_ca(tmp_path, ["127.0.0.1"])
    async with pair(world_with, way, certificates) as (world, _, agent):
        assert agent.agentk._tunnel._current.kind == ("grpc" if way.is_grpc else "native")
        assert world.registry.count(7)
