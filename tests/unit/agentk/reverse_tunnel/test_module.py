"""The tunnel's life: up, drained by kas, broken, drained by us; kas is in memory and nothing is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kasbah.agentk.reverse_tunnel.address import parse_kas_address
from kasbah.agentk.reverse_tunnel.connection import KasConnection
from kasbah.agentk.reverse_tunnel.module import ReverseTunnel
from kasbah.agentk.reverse_tunnel.native_connection import NativeConnection
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings, TunnelChoice
from kasbah.errors import PeerError, UserError
from kasbah.kit.secrets import Secret
from kasbah.wire.methods import REGISTER
from kasbah.wire.native_tunnel.engine import Role
from kasbah.wire.native_tunnel.frames import GoAwayCode, KasHello
from kasbah.wire.rpc import encode_message
from kasbah.wire.stream import StreamKind
from tests.doubles.fake_transport import FakeTransport
from tests.doubles.far_end import FarEnd
from tests.doubles.tunnel_pair import RecordingHandler


class Dialled:
    """One connection that agentk has dialled, and kas at its other end."""

    def __init__(self) -> None:
        self.kas, self.transport = FarEnd(Role.KAS), FakeTransport()
        self.connection: NativeConnection | None = None

    async def talk(self) -> None:
        await asyncio.sleep(0)
        if self.connection is not None:
            await self.kas.talk(self.connection, self.transport)
        await asyncio.sleep(0)

    async def admit(self, agent_id: int = 7) -> Dialled:
        await self.talk()
        self.kas.tunnel.accept(KasHello(agent_id=agent_id))
        await self.talk()
        return self


class World:
    """agentk's tunnel, and everything it has dialled."""

    def __init__(self, address: str = "ws://kas/", **settings) -> None:
        self.dialled: list[Dialled] = []
        self.opened = 0
        self.tunnel = ReverseTunnel(
            ReverseTunnelSettings(address=parse_kas_address(address), **settings),
            Secret("glagent-t"),
            lambda _kind, _opening, stream: RecordingHandler(stream),
            user_agent="test",
            pod_id=5,
            on_open=self._count,
            dial=self._dial,
        )

    def _count(self) -> None:
        self.opened += 1

    async def _dial(self, _settings, _context, _user_agent, make_protocol) -> KasConnection:
        dialled = Dialled()
        self.dialled.append(dialled)
        dialled.connection = make_protocol(dialled.transport, TunnelChoice.NATIVE)
        return dialled.connection

    @asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.tunnel.run())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            yield self
            running.cancel()

    @property
    def last(self) -> Dialled:
        return self.dialled[-1]


@pytest.mark.asyncio
async def test_a_tunnel_is_ready_once_kas_has_admitted_it():
    async with World().running() as world:
        await world.last.talk()
        assert not world.tunnel.is_ready
        await world.last.admit()
        assert world.last.kas.heard == [("hello", "glagent-t")]
        assert (world.tunnel.is_ready, world.tunnel.agent_id, world.tunnel.pod_id) == (True, 7, 5)
        assert world.opened == 1


@pytest.mark.asyncio
async def test_a_call_waits_for_the_tunnel_and_is_answered():
    async with World().running() as world, asyncio.TaskGroup() as tasks:
        call = tasks.create_task(world.tunnel.rpc.unary(REGISTER, REGISTER.request()))
        kas = (await world.last.admit()).kas
        await world.last.talk()
        _, stream, _ = kas.opened[0]
        stream.send(encode_message(REGISTER.response()))
        stream.end()
        await world.last.talk()
    assert call.result() == REGISTER.response()


@pytest.mark.asyncio
async def test_a_kas_that_drains_is_replaced_at_once_and_still_served():
    async with World().running() as world:
        old = await world.last.admit()
        handler = RecordingHandler()
        stream = old.kas.tunnel.open_stream(StreamKind.KUBERNETES_API, b"GET", handler)
        await old.talk()
        old.kas.tunnel.go_away(GoAwayCode.DRAINING)
        await old.talk()
        await world.last.admit()
        assert (len(world.dialled), world.tunnel.is_ready, old.transport.closed) == (2, True, False)
        stream.send(b"more")
        await old.talk()
        assert not handler.said


@pytest.mark.asyncio
async def test_a_tunnel_that_broke_is_not_dialled_again_at_once():
    async with World().running() as world:
        dialled = await world.last.admit()
        assert dialled.connection is not None
        dialled.connection.connection_lost(ConnectionResetError("reset"))
        await dialled.talk()
        assert not world.tunnel.is_ready
        assert len(world.dialled) == 1


@pytest.mark.asyncio
async def test_a_refusal_is_a_failure_and_no_tunnel():
    world = World()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(failure_of(world.tunnel._serve()))
        await asyncio.sleep(0)
        await world.last.talk()
        world.last.kas.tunnel.go_away(GoAwayCode.UNAUTHENTICATED, "unauthenticated")
        await world.last.talk()
    assert serving.result() == "kas refused the connection: unauthenticated"
    assert world.opened == 0


@pytest.mark.asyncio
async def test_a_kas_that_does_not_answer_has_its_time():
    assert await failure_of(World(dial_timeout_s=0).tunnel._serve()) == "kas did not answer in time"


@pytest.mark.asyncio
async def test_a_kas_that_takes_us_for_another_agent_is_left():
    async with World().running() as world:
        first = await world.last.admit(7)
        first.kas.tunnel.go_away(GoAwayCode.DRAINING)
        await first.talk()
        second = await world.last.admit(8)
        assert not world.tunnel.is_ready
        assert second.transport.closed
        assert world.tunnel.agent_id == 7


@pytest.mark.asyncio
async def test_a_drain_waits_for_what_runs_and_dials_nobody():
    async with World().running() as world, asyncio.TaskGroup() as tasks:
        dialled = await world.last.admit()
        handler = RecordingHandler()
        dialled.kas.tunnel.open_stream(StreamKind.KUBERNETES_API, b"GET", handler).end()
        await dialled.talk()
        drain = tasks.create_task(world.tunnel.drain(60))
        await dialled.talk()
        assert not drain.done()
        assert ("go away", (GoAwayCode.DRAINING, "agentk stops")) in dialled.kas.heard
        assert dialled.connection is not None
        for stream in list(dialled.connection.tunnel._streams.values()):
            stream.end()
        await dialled.talk()
        await dialled.talk()
        assert (drain.done(), handler.words(), len(world.dialled)) == (True, ["ended"], 1)


@pytest.mark.asyncio
async def test_a_drain_ends_with_its_time():
    async with World().running() as world:
        dialled = await world.last.admit()
        dialled.kas.tunnel.open_stream(StreamKind.KUBERNETES_API, b"GET", RecordingHandler())
        await dialled.talk()
        await world.tunnel.drain(0)
        assert not dialled.transport.closed
    assert dialled.transport.closed


def test_a_ca_file_that_cannot_be_read_is_said_before_anything_is_dialled(tmp_path):
    with pytest.raises(UserError, match=r"none\.crt"):
        World("wss://kas/", ca_file=tmp_path / "none.crt")


async def failure_of(serving) -> str:
    with pytest.raises(PeerError) as caught:
        await serving
    return str(caught.value)
