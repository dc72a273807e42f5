"""Tokens that were stolen: they open what is their own agent's and never another's."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import pytest

from kasbah.wire.methods import CONNECT
from kasbah.wire.rpc import StatusCode
from tests.doubles.grpc_agent import GrpcAgent, Tunnel, serving
from tests.doubles.hostile_grpc import block, headers, hostile
from tests.doubles.hostile_tunnel import HostileTunnel, body, head
from tests.doubles.loopback_server import Script, answer, read_head
from tests.doubles.loopback_server import serving as api_serving
from tests.doubles.running_agentk import ApiServer, agentk, until
from tests.integration.hostile.conftest import QUICK, bystander, kas_among_hostiles, token_of

pytestmark = pytest.mark.asyncio


async def test_five_tokens_on_one_connection_are_one_too_many_and_the_others_stay_apart():
    async with kas_among_hostiles() as scene, bystander(scene), hostile(scene.port) as peer:
        tunnels = {
            agent_id: HostileTunnel(peer, 2 * agent_id - 1, token_of(agent_id)) for agent_id in (2, 3, 4, 5)
        }
        await until(lambda: all(scene.tunnels(agent_id) == 1 for agent_id in tunnels))
        peer.say(headers(11, block(CONNECT.path, token_of(6))))
        await until(lambda: peer.statuses() == {11: StatusCode.RESOURCE_EXHAUSTED})
        for agent_id in (5, 3, 2, 4):
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(scene.ask(agent_id))
                await until(partial(lambda it: it.asked, tunnels[agent_id]))
                tunnels[agent_id].answer(head(), body(b"%d" % agent_id))
            assert asking.result().body == b"1\r\n%d\r\n0\r\n\r\n" % agent_id
        assert scene.tunnels(6) == 0


WAYS = {
    4: ("ws://127.0.0.1:{}/-/kubernetes-agent/", "native"),
    5: ("ws://127.0.0.1:{}/-/kubernetes-agent/", "grpc"),
    6: ("grpc://127.0.0.1:{}", "auto"),
}


async def test_a_thousand_requests_to_five_agents_are_answered_each_by_its_own():
    """Two are Google's gRPC, three our agentk over each of its transports; asked at random, many at once."""
    order = random.Random(4)

    def says(agent_id: int) -> Callable[[Tunnel], Awaitable[None]]:
        async def answer(tunnel: Tunnel) -> None:
            await tunnel.answer(b"%d %b" % (agent_id, tunnel.request.request.url_path.encode()))

        return answer

    def api_of(agent_id: int) -> Script:
        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                path = (await read_head(reader)).split(b" ")[1]
                writer.write(answer(b"%d %b" % (agent_id, path)))

        return speak

    async with kas_among_hostiles() as scene, contextlib.AsyncExitStack() as stack:
        for agent_id in (2, 3):
            agent = await stack.enter_async_context(GrpcAgent(scene.target, token=token_of(agent_id)))
            await stack.enter_async_context(serving(agent, says(agent_id)))
        for agent_id, (address, tunnel) in WAYS.items():
            api = await stack.enter_async_context(api_serving(api_of(agent_id)))
            kas, token = address.format(scene.port), token_of(agent_id)
            ours = agentk(kas, ApiServer(api.port), f"--kas-tunnel={tunnel}", AGENTK_TOKEN=token)
            await stack.enter_async_context(ours)
        await until(lambda: len(scene.kas._tunnels._registry._tunnels) == 5)
        at_once = asyncio.Semaphore(8)

        async def ask(agent_id: int, number: int) -> None:
            async with at_once:
                got = await scene.ask(agent_id, b"GET /api/%d" % number)
            assert got.status == 200
            assert b"%d /api/%d" % (agent_id, number) in got.body

        async with asyncio.TaskGroup() as tasks:
            for number in range(1000):
                tasks.create_task(ask(order.choice([2, 3, 4, 5, 6]), number))


async def test_a_token_that_is_revoked_ends_what_it_opened_and_what_others_opened_beside_it():
    """On the same connection; another connection's tunnels of another agent stay."""
    quick = replace(QUICK, token_check_interval_s=0.1)
    async with (
        kas_among_hostiles(settings=quick) as scene,
        bystander(scene),
        hostile(scene.port) as peer,
        hostile(scene.port) as other,
    ):
        HostileTunnel(peer, 1, token_of(2))
        HostileTunnel(other, 1, token_of(3))
        await until(lambda: scene.tunnels(2) == scene.tunnels(3) == 1)
        scene.hub.revoked.add(2)
        assert await peer.hung_up()
        assert peer.statuses() == {1: StatusCode.UNAUTHENTICATED}
        assert (scene.tunnels(2), scene.tunnels(3), other.closed.is_set()) == (0, 1, False)


async def test_pods_of_one_token_are_counted_and_the_first_ones_stay():
    few = replace(QUICK, max_pods_per_agent=2)
    async with kas_among_hostiles(settings=few) as scene, contextlib.AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(hostile(scene.port)) for _ in range(3)]
        for peer in peers[:2]:
            HostileTunnel(peer, 1, token_of(2))
        await until(lambda: scene.tunnels(2) == 2)
        HostileTunnel(peers[2], 1, token_of(2))
        await until(lambda: peers[2].statuses() == {1: StatusCode.RESOURCE_EXHAUSTED})
        assert await peers[2].hung_up()
        assert scene.tunnels(2) == 2
