"""A kas elsewhere is told and asked; over calls that nothing carries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from kasbah.hub.kas_client import GitPushEvent
from kasbah.hub.remote_kas import MOST_WAITING, ConnectedAgent, KasTokens, RemoteKas
from kasbah.kit.jwt import JwtCheck
from kasbah.kit.secrets import Secret
from kasbah.rpc.client import Caller
from kasbah.wire.methods import GET_CONNECTED_AGENTS, GIT_PUSH_EVENT
from kasbah.wire.pb.gitlab.agent.agent_tracker.agent_tracker_pb2 import ConnectedAgentInfo
from kasbah.wire.pb.gitlab.agent.entity.entity_pb2 import AgentMeta
from kasbah.wire.rpc import Call, CallHandler, Metadata, RpcError, StatusCode
from tests.doubles.recording_call import RecordingCall

KEY = b"k" * 32


class Kas:
    """The way to a kas that answers everything with one message, when it is not away."""

    def __init__(self, answer: bytes = b"", *, away: bool = False) -> None:
        self.asked: list[tuple[str, RecordingCall]] = []
        self.away = away
        self._answer = answer

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def caller(self) -> Caller:
        if self.away:
            raise RpcError(StatusCode.UNAVAILABLE, "cannot be reached")
        return self

    def open_call(self, path: str, handler: CallHandler, _metadata: Metadata = ()) -> Call:
        call = RecordingCall(answers=False)
        self.asked.append((path, call))
        handler.message_received(self._answer)
        handler.ended()
        return call


@asynccontextmanager
async def running(kas: Kas) -> AsyncIterator[RemoteKas]:
    remote = RemoteKas(kas)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(remote.run())
        yield remote
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()


def pushes(kas: Kas) -> list[tuple[int, str]]:
    projects = [GIT_PUSH_EVENT.request.FromString(call.sent[0]).event.project for _, call in kas.asked]
    return [(project.id, project.full_path) for project in projects]


def push(project_id: int) -> GitPushEvent:
    return GitPushEvent(project_id=project_id, full_path=f"p/{project_id}")


@pytest.mark.asyncio
async def test_a_push_is_told_and_two_of_one_project_are_one_notice():
    kas = Kas()
    async with running(kas) as remote:
        for project_id in (1, 2, 1):
            await remote.git_push(push(project_id))
    assert pushes(kas) == [(1, "p/1"), (2, "p/2")]
    assert {path for path, _ in kas.asked} == {GIT_PUSH_EVENT.path}


@pytest.mark.asyncio
async def test_a_kas_that_is_away_loses_a_notice_and_nothing_else():
    kas = Kas(away=True)
    async with running(kas) as remote:
        await remote.git_push(push(1))
        for _ in range(20):
            await asyncio.sleep(0)
        kas.away = False
        await remote.git_push(push(2))
    assert pushes(kas) == [(2, "p/2")]


@pytest.mark.asyncio
async def test_what_waits_is_bounded():
    remote = RemoteKas(Kas())
    for project_id in range(MOST_WAITING + 5):
        await remote.git_push(push(project_id + 1))
    assert len(remote._waiting) == MOST_WAITING


@pytest.mark.asyncio
async def test_who_is_connected_is_asked_by_agent_or_by_project():
    info = ConnectedAgentInfo(
        agent_id=7,
        project_id=31,
        connection_id=5,
        connected_at=Timestamp(seconds=2, nanos=500_000_000),
        agent_meta=AgentMeta(version="v18.0.0", pod_namespace="agents", pod_name="agentk-1"),
    )
    kas = Kas(GET_CONNECTED_AGENTS.response(agents=[info]).SerializeToString())
    async with running(kas) as remote:
        (agent,) = await remote.connected_agents(agent_id=7)
        await remote.connected_agents(project_id=31)
    assert agent == ConnectedAgent(
        agent_id=7,
        project_id=31,
        connection_id=5,
        version="v18.0.0",
        pod_namespace="agents",
        pod_name="agentk-1",
        connected_at=2.5,
    )
    asked = [GET_CONNECTED_AGENTS.request.FromString(call.sent[0]) for _, call in kas.asked]
    assert [each.WhichOneof("request") for each in asked] == ["agent_id", "project_id"]


def test_every_call_carries_a_token_of_its_own():
    times = iter([1000.0, 2000.0])
    tokens = KasTokens(KEY, lambda: next(times))
    for now in (1000, 2000):
        ((key, value),) = tokens.metadata()
        assert key == "authorization"
        JwtCheck(secret=KEY, audience="gitlab-kas").check(Secret(value.removeprefix("bearer ")), now)
