"""What one token may do on one connection, and what becomes of its calls meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.kas.hub_client.errors import HubUnauthenticatedError, HubUnavailableError
from kasbah.kas.reverse_tunnel.agent_session import AgentSession
from kasbah.kas.reverse_tunnel.held_call import HeldBytes
from kasbah.kas.reverse_tunnel.refusal import TOO_MANY_PODS, UNAUTHENTICATED
from kasbah.kit.secrets import Secret
from kasbah.wire.methods import CONNECT, GET_CONFIGURATION, GITLAB_ACCESS_MAKE_REQUEST, REGISTER
from kasbah.wire.reverse_tunnel.descriptor import KUBERNETES_API_DESCRIPTOR
from kasbah.wire.rpc import CallHandler, StatusCode
from tests.doubles.loopback_agent import until
from tests.doubles.recording_call import RecordingCall
from tests.doubles.tunnel_owner import AGENT, TunnelOwner


class Connection:
    """As far as a session needs one."""

    peer, transport_name = "192.0.2.7", "grpc"

    def welcome(self, admitted) -> None: ...


class Scene:
    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.owner = TunnelOwner(tasks)
        self.connection = Connection()
        self.session = AgentSession(Secret("glagent-t"), self.owner, self.connection, HeldBytes(10_000))

    def call(self, method, *messages: bytes) -> tuple[RecordingCall, CallHandler]:
        call = RecordingCall()
        handler = self.session.call_opened(method.path, call)
        for message in messages:
            handler.message_received(message)
        handler.ended() if method is not CONNECT else None
        return call, handler


async def turn(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_a_token_is_looked_up_once_for_all_its_calls():
    async with asyncio.TaskGroup() as tasks:
        it = Scene(tasks)
        calls = [it.call(REGISTER, b"")[0] for _ in range(3)]
        tunnel, _ = it.call(CONNECT, KUBERNETES_API_DESCRIPTOR)
        await turn()
        calls.append(it.call(REGISTER, b"")[0])
        await turn()
    assert it.owner.asked == ["glagent-t"]
    assert [call.ended for call in calls] == [True] * 4
    assert (tunnel.is_over, it.owner.said) == (False, ["tunnel of 7"])
    assert it.owner.admitted[0].tunnel.can_open


@pytest.mark.asyncio
async def test_a_call_carries_who_calls():
    async with asyncio.TaskGroup() as tasks:
        it = Scene(tasks)
        it.call(REGISTER, b"")
        await turn()
    (call,) = it.owner.calls
    assert (call.agent, call.agent_token.reveal(), call.connection) == (AGENT, "glagent-t", it.connection)
    assert call.connection_id == it.owner.admitted[0].pod_id > 0


@pytest.mark.asyncio
async def test_a_token_nobody_knows_ends_every_call_and_may_be_asked_about_again():
    async with asyncio.TaskGroup() as tasks:
        it = Scene(tasks)
        it.owner.errors = [HubUnauthenticatedError("401")] * 2
        first = [it.call(method, b"")[0] for method in (REGISTER, CONNECT, GET_CONFIGURATION)]
        await turn()
        again, _ = it.call(REGISTER, b"")
        await until(lambda: again.is_over)
    for call in (*first, again):
        assert call.failed_with == (StatusCode.UNAUTHENTICATED, "unauthenticated")
    assert it.owner.said == ["unauthenticated"] * 2
    assert it.owner.admitted == []


@pytest.mark.asyncio
async def test_while_the_git_side_is_away_a_call_that_lasts_waits_and_others_do_not():
    async with asyncio.TaskGroup() as tasks:
        it = Scene(tasks)
        it.owner.errors = [HubUnavailableError("away")] * 3
        unary, tunnel = it.call(REGISTER, b"")[0], it.call(CONNECT, KUBERNETES_API_DESCRIPTOR)[0]
        await until(lambda: bool(it.owner.admitted))
    assert unary.failed_with == (StatusCode.UNAVAILABLE, "unavailable")
    assert not tunnel.is_over
    assert it.owner.admitted[0].tunnel.can_open
    assert len(it.owner.asked) == 4


@pytest.mark.asyncio
async def test_who_gives_up_is_not_asked_about_for_ever():
    async with asyncio.TaskGroup() as tasks:
        it = Scene(tasks)
        it.owner.errors = [HubUnavailableError("away")] * 100
        _, handler = it.call(CONNECT)
        await turn()
        handler.failed(StatusCode.CANCELLED, "gone")
    assert len(it.owner.asked) == 1


@pytest.mark.asyncio
async def test_who_has_gone_before_the_answer_is_not_let_in():
    async with asyncio.TaskGroup() as tasks:
        it = Scene(tasks)
        it.owner.may_answer.clear()
        _, handler = it.call(CONNECT)
        await turn()
        handler.failed(StatusCode.CANCELLED, "gone")
        it.owner.may_answer.set()
    assert it.owner.admitted == []


@pytest.mark.asyncio
async def test_a_pod_too_many_is_told_so():
    async with asyncio.TaskGroup() as tasks:
        it = Scene(tasks)
        it.owner.no_room = TOO_MANY_PODS
        call, _ = it.call(CONNECT)
        await turn()
    assert call.failed_with is not None
    assert call.failed_with[0] is StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.asyncio
async def test_a_bug_while_a_token_is_looked_up_costs_its_calls_only():
    async with asyncio.TaskGroup() as tasks:
        it = Scene(tasks)
        it.owner.errors = [RuntimeError("a bug")]
        call, _ = it.call(CONNECT)
        await turn()
    assert call.failed_with == (StatusCode.UNAVAILABLE, "unavailable")


@pytest.mark.asyncio
async def test_who_comes_while_kas_stops_is_sent_away():
    async with asyncio.TaskGroup() as tasks:
        it = Scene(tasks)
        it.owner.stopping = True
        call, _ = it.call(CONNECT)
    assert call.failed_with == (StatusCode.UNAVAILABLE, "unavailable")


@pytest.mark.asyncio
@pytest.mark.parametrize("early", [True, False])
async def test_on_a_connection_that_retires_nothing_lasts(early):
    async with asyncio.TaskGroup() as tasks:
        it = Scene(tasks)
        if early:
            it.session.retire()
        idle, _ = it.call(CONNECT, KUBERNETES_API_DESCRIPTOR)
        await turn()
        if not early:
            it.session.retire()
        late, configuration, unary = (
            it.call(method, b"")[0] for method in (CONNECT, GET_CONFIGURATION, REGISTER)
        )
        await turn()
    assert [call.ended for call in (idle, late, configuration, unary)] == [True] * 4
    assert idle.sent == late.sent == configuration.sent == []


@pytest.mark.asyncio
async def test_on_a_connection_that_retires_a_piece_of_work_is_done():
    async with asyncio.TaskGroup() as tasks:
        it = Scene(tasks)
        it.session.retire()
        call, _ = it.call(GITLAB_ACCESS_MAKE_REQUEST, b"")
        await turn()
    assert (len(call.sent), call.ended) == (1, True)


@pytest.mark.asyncio
async def test_a_token_that_is_revoked_ends_what_runs_under_it_and_begins_nothing():
    async with asyncio.TaskGroup() as tasks:
        it = Scene(tasks)
        tunnel, configuration = (
            it.call(CONNECT, KUBERNETES_API_DESCRIPTOR)[0],
            it.call(GET_CONFIGURATION, b"")[0],
        )
        await turn()
        it.session.revoke(UNAUTHENTICATED)
        late, _ = it.call(REGISTER, b"")
        await turn()
    for call in (tunnel, configuration, late):
        assert call.failed_with == (StatusCode.UNAUTHENTICATED, "unauthenticated")
