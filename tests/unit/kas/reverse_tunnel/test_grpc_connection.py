"""A connection of an agent that speaks gRPC, plain and in a WebSocket."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.kas.kubernetes_api import grant as grants
from kasbah.kas.reverse_tunnel.grpc_connection import GrpcAgentConnection, bearer_token
from kasbah.kas.reverse_tunnel.refusal import UNAUTHENTICATED
from kasbah.kit.secrets import Secret
from kasbah.wire.methods import CONNECT, GET_CONFIGURATION, REGISTER
from kasbah.wire.reverse_tunnel.descriptor import KUBERNETES_API_DESCRIPTOR
from kasbah.wire.rpc import StatusCode
from kasbah.wire.stream import StreamClass, StreamKind
from tests.doubles.fake_transport import FakeTransport
from tests.doubles.far_grpc_end import AUTHORIZATION, FarGrpcEnd
from tests.doubles.people import access_of_mia
from tests.doubles.tunnel_owner import TunnelOwner
from tests.doubles.tunnel_pair import RecordingHandler

GRANT = grants.issue("g", access_of_mia(), deadline_ms=1)
OPENING = GRANT.envelope_for(upgrade=b"", open_ended=False) + b"GET /version HTTP/1.1\r\n\r\n"


class Unlucky(RecordingHandler):
    """A request that says when it is cut."""

    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self.told = told

    def reset(self, code: int, message: str) -> None:
        super().reset(code, message)
        self.told.append("cut")


class Dialogue:
    def __init__(self, tasks: asyncio.TaskGroup, *, websocket: bool = False) -> None:
        self.owner, self.transport = TunnelOwner(tasks), FakeTransport()
        self.agent = FarGrpcEnd(websocket=websocket)
        self.known: list[bool] = []
        self.connection = GrpcAgentConnection(
            self.owner,
            self.transport,
            websocket=websocket,
            peer="192.0.2.7",
            since=0,
            known=lambda: self.known.append(True),
        )

    async def talk(self) -> None:
        for _ in range(3):
            await self.agent.talk(self.connection, self.transport)


@pytest.mark.parametrize(
    ("metadata", "token"),
    [
        (AUTHORIZATION, "glagent-t"),
        ((("authorization", "bEARER x"), ("other", "y")), "x"),
        ((), None),
        ((("authorization", "Bearer"),), None),
        ((("authorization", "Bearer "),), None),
        ((("authorization", "Basic x"),), None),
        (AUTHORIZATION * 2, None),
    ],
)
def test_a_token_is_shown_once_and_as_bearer(metadata, token):
    assert bearer_token(metadata) == (Secret(token) if token else None)


@pytest.mark.asyncio
@pytest.mark.parametrize(("websocket", "name"), [(False, "grpc"), (True, "ws-tunnel")])
async def test_a_call_is_answered_and_its_caller_is_no_stranger_any_more(websocket, name):
    async with asyncio.TaskGroup() as tasks:
        dialogue = Dialogue(tasks, websocket=websocket)
        assert dialogue.known == []
        _, handler = dialogue.agent.call(REGISTER.path, b"")
        await dialogue.talk()
    assert handler.words() == ["message", "ended"]
    assert (dialogue.known, dialogue.connection.transport_name) == ([True], name)


@pytest.mark.asyncio
async def test_a_call_without_a_token_is_unauthenticated():
    async with asyncio.TaskGroup() as tasks:
        dialogue = Dialogue(tasks)
        _, handler = dialogue.agent.call(REGISTER.path, b"", metadata=())
        await dialogue.talk()
    assert (handler.code, handler.reason) == (StatusCode.UNAUTHENTICATED, "unauthenticated")
    assert (dialogue.owner.asked, dialogue.known) == ([], [])


@pytest.mark.asyncio
async def test_each_token_has_its_own_agent_and_there_are_few():
    async with asyncio.TaskGroup() as tasks:
        dialogue = Dialogue(tasks)
        handlers = [
            dialogue.agent.call(REGISTER.path, b"", metadata=(("authorization", f"Bearer t{n % 5}"),))[1]
            for n in range(10)
        ]
        await dialogue.talk()
    codes = [handler.code for handler in handlers]
    assert codes == [*[StatusCode.OK] * 4, StatusCode.RESOURCE_EXHAUSTED] * 2
    assert sorted(dialogue.owner.asked) == ["t0", "t1", "t2", "t3"]
    assert len({admitted.pod_id for admitted in dialogue.owner.admitted}) == 4


@pytest.mark.asyncio
@pytest.mark.parametrize("known", [False, True])
async def test_calls_are_counted_tunnels_apart(known):
    async with asyncio.TaskGroup() as tasks:
        dialogue = Dialogue(tasks)
        if known:
            dialogue.agent.call(REGISTER.path, b"")
            await dialogue.talk()
        else:
            dialogue.owner.may_answer.clear()
        tunnels = [
            dialogue.agent.call(CONNECT.path, KUBERNETES_API_DESCRIPTOR, end=False)[1] for _ in range(90)
        ]
        await dialogue.talk()
        lasting = [dialogue.agent.call(GET_CONFIGURATION.path, b"")[1] for _ in range(70)]
        await dialogue.talk()
        refused = [h for h in lasting if h.code is StatusCode.RESOURCE_EXHAUSTED]
        assert (len(refused), {h.code for h in tunnels}) == (6, {StatusCode.OK})
        dialogue.connection.connection_lost(None)
        dialogue.owner.may_answer.set()


@pytest.mark.asyncio
async def test_calls_in_a_minute_are_counted():
    async with asyncio.TaskGroup() as tasks:
        dialogue = Dialogue(tasks)

        async def register(times: int) -> list[StatusCode]:
            handlers = []
            for _ in range(times):
                handlers.append(dialogue.agent.call(REGISTER.path, b"")[1])
                if len(handlers) % 50 == 0:
                    await dialogue.talk()
            return [handler.code for handler in handlers]

        assert (await register(650)).count(StatusCode.RESOURCE_EXHAUSTED) == 50
        dialogue.connection.tick(61)
        assert set(await register(50)) == {StatusCode.OK}


@pytest.mark.asyncio
async def test_what_a_stranger_may_make_us_keep_is_little():
    async with asyncio.TaskGroup() as tasks:
        dialogue = Dialogue(tasks)
        dialogue.owner.may_answer.clear()
        handlers = [dialogue.agent.call(CONNECT.path, b"x" * 100_000, end=False)[1] for _ in range(20)]
        await dialogue.talk()
        refused = [handler.code for handler in handlers if handler.code is StatusCode.RESOURCE_EXHAUSTED]
        assert len(refused) >= 17
        dialogue.owner.may_answer.set()


@pytest.mark.asyncio
async def test_a_connection_that_retires_ends_what_waits_and_closes_when_the_rest_is_over():
    async with asyncio.TaskGroup() as tasks:
        dialogue = Dialogue(tasks)
        _, idle = dialogue.agent.call(CONNECT.path, KUBERNETES_API_DESCRIPTOR, end=False)
        await dialogue.talk()
        dialogue.connection.retire("max_age")
        await dialogue.talk()
        assert (dialogue.agent.away, idle.words()) == (True, ["ended"])
        assert dialogue.transport.closed
    assert "lost" in dialogue.owner.said


@pytest.mark.asyncio
async def test_a_token_that_is_revoked_closes_the_connection_with_its_status():
    async with asyncio.TaskGroup() as tasks:
        dialogue = Dialogue(tasks)
        _, idle = dialogue.agent.call(CONNECT.path, KUBERNETES_API_DESCRIPTOR, end=False)
        await dialogue.talk()
        dialogue.connection.revoke(Secret("glagent-t"), UNAUTHENTICATED)
        await dialogue.talk()
    assert (idle.code, idle.reason) == (StatusCode.UNAUTHENTICATED, "unauthenticated")
    assert dialogue.transport.closed


@pytest.mark.asyncio
async def test_an_agent_that_is_about_to_leave_is_told_of_and_its_idle_tunnels_end_well():
    async with asyncio.TaskGroup() as tasks:
        dialogue = Dialogue(tasks)
        used, idle = (
            dialogue.agent.call(CONNECT.path, KUBERNETES_API_DESCRIPTOR, end=False)[1] for _ in range(2)
        )
        await dialogue.talk()
        tunnel = dialogue.owner.admitted[0].tunnel
        tunnel.open_stream(
            StreamKind.KUBERNETES_API, OPENING, RecordingHandler(), stream_class=StreamClass.SMALL
        )
        dialogue.agent.engine.go_away("bye")
        await dialogue.talk()
        assert "draining" in dialogue.owner.said
        assert (idle.words(), "ended" in used.words(), tunnel.can_open) == (["ended"], False, False)
        dialogue.connection.connection_lost(None)


@pytest.mark.asyncio
async def test_who_leaves_is_told_of_once_and_is_nobodys_stranger():
    async with asyncio.TaskGroup() as tasks:
        dialogue = Dialogue(tasks)
        dialogue.connection.connection_lost(None)
    assert (dialogue.owner.said, dialogue.known) == (["draining", "lost"], [True])


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["lost", "closed", "broken off"])
async def test_nothing_new_comes_while_the_calls_are_lost_one_by_one(how):
    async with asyncio.TaskGroup() as tasks:
        dialogue = Dialogue(tasks)
        dialogue.agent.call(CONNECT.path, KUBERNETES_API_DESCRIPTOR, end=False)
        await dialogue.talk()
        said = dialogue.owner.said
        request = Unlucky(said)
        dialogue.owner.admitted[0].tunnel.open_stream(
            StreamKind.KUBERNETES_API, OPENING, request, stream_class=StreamClass.SMALL
        )
        said.clear()
        if how == "lost":
            dialogue.connection.connection_lost(None)
        elif how == "closed":
            dialogue.connection.close("the connection is too old")
        else:
            dialogue.connection.data_received(b"nonsense" * 9)
    assert said[:2] == ["draining", "cut"]
