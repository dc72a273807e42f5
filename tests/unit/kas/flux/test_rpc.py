"""One agent's Flux watching projects, against a hub in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import cast

import httpx2
import pytest

from kasbah.kas.flux import rpc
from kasbah.kas.flux.settings import Settings
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.notifications.pushes import GitPushes
from kasbah.kas.reverse_tunnel.call import AgentCall
from kasbah.kas.usage_metrics.counters import UsageCounters
from kasbah.kit.backoff import BackoffSettings
from kasbah.kit.secrets import Secret
from kasbah.wire.methods import RECONCILE_PROJECTS
from kasbah.wire.pb.gitlab.agent.flux.rpc.rpc_pb2 import (
    Project,
    ReconcileProjectsRequest,
    ReconcileProjectsResponse,
)
from kasbah.wire.rpc import RpcError, StatusCode
from tests.doubles.fake_hub import SECRET, FakeHub, json_answer

AT_ONCE = BackoffSettings(initial_s=0, maximum_s=0, reset_s=1)
AGENT = AgentInfo(
    agent_id=7, project_id=31, agent_name="prod-eu", project_path="ops/fleet", default_branch="main"
)


@dataclass(frozen=True)
class Push:
    full_path: str
    project_id: int = 40


@dataclass
class Kas:
    hub: FakeHub = field(default_factory=lambda: FakeHub(projects={"ops/fleet": 31, "ops/apps": 40}))
    pushes: GitPushes = field(default_factory=GitPushes)
    usage: UsageCounters = field(default_factory=UsageCounters)

    def __post_init__(self) -> None:
        client = HubClient(self.hub.client(), SECRET, retry=AT_ONCE)
        settings = Settings(max_calls_per_agent=2, backoff=AT_ONCE)
        [(method, self.handler)] = rpc.services(client, self.pushes, self.usage, settings)
        assert method is RECONCILE_PROJECTS

    def reconcile(self, *paths: str) -> aclosing[AsyncGenerator[ReconcileProjectsResponse]]:
        call = AgentCall(agent=AGENT, agent_token=Secret("glagent-good"), connection_id=1)
        request = ReconcileProjectsRequest(project=[Project(id=path) for path in paths])
        return aclosing(cast("AsyncGenerator[ReconcileProjectsResponse]", self.handler(call, request)))

    async def push(self, *paths: str) -> None:
        for path in paths:
            await self.pushes.git_push(Push(path))


async def heard(
    responses: AsyncGenerator[ReconcileProjectsResponse],
) -> asyncio.Task[ReconcileProjectsResponse]:
    """The next response, after the call had time to listen."""
    task = asyncio.get_running_loop().create_task(anext(responses))
    await settled()
    return task


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_a_push_to_a_watched_project_is_told_and_counted():
    kas = Kas()
    async with kas.reconcile("ops/apps", "ops/fleet") as responses:
        first = await heard(responses)
        await kas.push("ops/other", "ops/apps")
        assert (await first).project.id == "ops/apps"
    usage = kas.usage.take()
    assert usage is not None
    assert usage.counters["flux_git_push_notifications_total"] == 1
    assert usage.unique_counters == {"flux_git_push_notified_unique_projects": [40]}


@pytest.mark.asyncio
async def test_pushes_that_come_quicker_than_they_are_told_are_told_once():
    kas = Kas()
    async with kas.reconcile("ops/apps", "ops/fleet") as responses:
        first = await heard(responses)
        await kas.push("ops/apps", "ops/fleet", "ops/apps", "ops/apps")
        told = [(await first).project.id, (await anext(responses)).project.id]
        assert sorted(told) == ["ops/apps", "ops/fleet"]
        third = await heard(responses)
        assert not third.done()
        third.cancel()
        await settled()


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.asyncio
async def test_what_the_agent_may_not_hear_of_is_passed_over(status: int):
    kas = Kas()
    kas.hub.answer_with("verify_project_access", json_answer(status, {"message": "no"}))
    async with kas.reconcile("secret/x", "ops/apps") as responses:
        first = await heard(responses)
        await kas.push("secret/x")
        await settled()
        assert not first.done()
        await kas.push("secret/x", "ops/apps")
        assert (await first).project.id == "ops/apps"


@pytest.mark.asyncio
async def test_a_git_side_that_is_away_delays_a_notice_and_loses_none():
    kas = Kas()
    kas.hub.answer_with("verify_project_access", httpx2.ConnectError("refused"), httpx2.Response(503))
    async with kas.reconcile("ops/apps") as responses:
        first = await heard(responses)
        await kas.push("ops/apps")
        assert (await first).project.id == "ops/apps"
    assert len(kas.hub.requests) == 3


@pytest.mark.asyncio
async def test_an_agent_that_is_no_longer_known_is_told_so():
    kas = Kas(hub=FakeHub(token="glagent-other"))
    async with kas.reconcile("ops/apps") as responses:
        first = await heard(responses)
        await kas.push("ops/apps")
        with pytest.raises(RpcError, match="unauthenticated") as caught:
            await first
    assert caught.value.code == StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("paths", [[""], ["ops/apps", ""], ["x" * 1025], [f"a/{n}" for n in range(1001)]])
@pytest.mark.asyncio
async def test_a_request_that_is_wrong_is_refused_and_watches_nothing(paths: list[str]):
    kas = Kas()
    async with kas.reconcile(*paths) as responses:
        with pytest.raises(RpcError) as caught:
            await anext(responses)
    assert caught.value.code == StatusCode.INVALID_ARGUMENT
    assert (kas.pushes._path_watches, kas.hub.requests) == ({}, [])


@pytest.mark.asyncio
async def test_a_project_given_twice_is_told_once_and_none_at_all_is_silence():
    kas = Kas()
    async with kas.reconcile("ops/apps", "ops/apps") as responses, kas.reconcile() as nothing:
        first, never = await heard(responses), await heard(nothing)
        await kas.push("ops/apps")
        await first
        second = await heard(responses)
        assert (second.done(), never.done()) == (False, False)
        second.cancel()
        never.cancel()
        await settled()


@pytest.mark.asyncio
async def test_an_agent_has_a_few_calls_at_a_time_and_leaves_nothing_behind():
    kas = Kas()
    async with AsyncExitStack() as calls:
        running = [await heard(await calls.enter_async_context(kas.reconcile("ops/apps"))) for _ in range(2)]
        async with kas.reconcile("ops/apps") as third:
            with pytest.raises(RpcError, match="too many calls") as caught:
                await anext(third)
        assert caught.value.code == StatusCode.RESOURCE_EXHAUSTED
        for task in running:
            task.cancel()
        await settled()
    assert kas.pushes._path_watches == {}
    assert kas.handler.__self__._slots._taken == {}
