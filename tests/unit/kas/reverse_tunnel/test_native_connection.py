"""A pod's connection as kas sees it."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.reverse_tunnel.native_connection import AgentConnection
from kasbah.kas.reverse_tunnel.pod import Admitted
from kasbah.kas.reverse_tunnel.refusal import UNAUTHENTICATED
from kasbah.rpc.server import CallServer
from kasbah.wire.methods import REGISTER
from kasbah.wire.native_tunnel.engine import Role
from kasbah.wire.native_tunnel.frames import AgentHello, GoAwayCode
from kasbah.wire.rpc import encode_message
from kasbah.wire.stream import StreamKind
from tests.doubles.fake_transport import FakeTransport
from tests.doubles.far_end import FarEnd
from tests.doubles.tunnel_pair import RecordingHandler

AGENT = AgentInfo(agent_id=7, project_id=1, agent_name="a", project_path="g/p", default_branch="main")
HELLO = AgentHello(token="glagent-t", pod_id=5)


class Server:
    """The connections' owner: writes down what it is told; answers one method with the caller's pod."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.tasks = tasks
        self.told: list[str] = []
        self.calls: list[tuple[int, str, int]] = []
        self.rpc = CallServer([(REGISTER, self._register)])

    async def _register(self, call, _request):
        self.calls.append((call.agent.agent_id, call.agent_token.reveal(), call.connection_id))
        return REGISTER.response()

    version = "1"

    def greeted(self, connection) -> None:
        self.told.append("greeted")

    def draining(self, connection) -> None:
        self.told.append("draining")

    def lost(self, connection) -> None:
        self.told.append("lost")


class Dialogue:
    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.server, self.transport, self.pod = Server(tasks), FakeTransport(), FarEnd(Role.AGENT)
        self.connection = AgentConnection(self.server, self.transport, peer="192.0.2.7", since=0.0)

    async def talk(self) -> None:
        await self.pod.talk(self.connection, self.transport)

    async def greet(self) -> None:
        self.pod.tunnel.greet(HELLO)
        await self.talk()
        connection = self.connection
        connection.welcome(
            Admitted(token=connection.token, agent=AGENT, pod_id=connection.pod_id, tunnel=connection.tunnel)
        )
        await self.talk()


@pytest.mark.asyncio
async def test_a_greeting_is_kept_and_told_and_an_admission_reaches_the_pod():
    async with asyncio.TaskGroup() as tasks:
        dialogue = Dialogue(tasks)
        await dialogue.greet()
    assert (dialogue.connection.token.reveal(), dialogue.connection.pod_id) == ("glagent-t", 5)
    assert dialogue.server.told == ["greeted"]
    assert dialogue.pod.heard == [("accepted", 7)]


@pytest.mark.asyncio
async def test_a_second_greeting_is_a_breach_before_and_after_admission():
    async with asyncio.TaskGroup() as tasks:
        for admitted in (False, True):
            dialogue = Dialogue(tasks)
            dialogue.pod.tunnel.greet(HELLO)
            if admitted:
                await dialogue.greet()
            else:
                dialogue.pod.tunnel.greet(HELLO)
                await dialogue.talk()
            assert dialogue.connection.failure == "a second greeting"
            assert dialogue.transport.closed


@pytest.mark.asyncio
async def test_a_call_carries_who_calls():
    async with asyncio.TaskGroup() as tasks:
        dialogue = Dialogue(tasks)
        await dialogue.greet()
        handler = RecordingHandler()
        stream = dialogue.pod.tunnel.open_stream(StreamKind.RPC, REGISTER.path.encode(), handler)
        stream.send(encode_message(REGISTER.request()))
        stream.end()
        await dialogue.talk()
    assert dialogue.server.calls == [(7, "glagent-t", 5)]
    assert handler.words()[-1] == "ended"


@pytest.mark.asyncio
async def test_an_agent_may_not_open_a_kubernetes_api_stream():
    async with asyncio.TaskGroup() as tasks:
        dialogue = Dialogue(tasks)
        await dialogue.greet()
        dialogue.pod.tunnel.open_stream(StreamKind.KUBERNETES_API, b"GET /", RecordingHandler())
        await dialogue.talk()
    assert dialogue.connection.failure == "an agent opens only calls"
    assert dialogue.server.told == ["greeted", "lost"]


@pytest.mark.asyncio
async def test_a_refusal_says_why_and_closes():
    async with asyncio.TaskGroup() as tasks:
        dialogue = Dialogue(tasks)
        dialogue.pod.tunnel.greet(HELLO)
        await dialogue.talk()
        dialogue.connection.revoke(dialogue.connection.token, UNAUTHENTICATED)
        await dialogue.talk()
    assert dialogue.pod.heard == [("go away", (GoAwayCode.UNAUTHENTICATED, "unauthenticated"))]
    assert dialogue.transport.closed


@pytest.mark.asyncio
async def test_a_pod_of_a_connection_that_retires_goes_elsewhere():
    async with asyncio.TaskGroup() as tasks:
        dialogue = Dialogue(tasks)
        await dialogue.greet()
        dialogue.connection.retire("max_age")
        await dialogue.talk()
    assert ("go away", (GoAwayCode.DRAINING, "max_age")) in dialogue.pod.heard


@pytest.mark.asyncio
async def test_a_pod_that_drains_and_leaves_is_told_of():
    async with asyncio.TaskGroup() as tasks:
        dialogue = Dialogue(tasks)
        await dialogue.greet()
        dialogue.pod.tunnel.go_away(GoAwayCode.DRAINING)
        await dialogue.talk()
    assert dialogue.server.told == ["greeted", "draining", "lost"]
