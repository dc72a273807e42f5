"""One agent synchronizing a project, against a hub in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import cast

import httpx2
import pytest

from kasbah.kas.gitops import rpc
from kasbah.kas.gitops.settings import Settings
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.notifications.pushes import GitPushes
from kasbah.kas.reverse_tunnel.call import AgentCall
from kasbah.kas.usage_metrics.counters import UsageCounters
from kasbah.kit.backoff import BackoffSettings
from kasbah.kit.secrets import Secret
from kasbah.wire.methods import GET_OBJECTS_TO_SYNCHRONIZE
from kasbah.wire.pb.gitlab.agent.gitops.rpc.rpc_pb2 import (
    GitRefCF,
    ObjectsToSynchronizeRequest,
    ObjectsToSynchronizeResponse,
    PathCF,
)
from kasbah.wire.rpc import RpcError, StatusCode
from tests.doubles.fake_hub import COMMIT, SECRET, FakeHub, json_answer

AT_ONCE = BackoffSettings(initial_s=0, maximum_s=0, reset_s=1)
AGENT = AgentInfo(
    agent_id=7, project_id=31, agent_name="prod-eu", project_path="ops/fleet", default_branch="main"
)
NEXT = "b" * 40
Responses = AsyncGenerator[ObjectsToSynchronizeResponse]


@dataclass(frozen=True)
class Push:
    project_id: int = 31
    full_path: str = "ops/fleet"


@dataclass
class Kas:
    hub: FakeHub = field(default_factory=lambda: FakeHub(files={"a.yaml": b"1", "b/c.yaml": b""}))
    pushes: GitPushes = field(default_factory=GitPushes)
    usage: UsageCounters = field(default_factory=UsageCounters)
    now: float = 0.0

    def __post_init__(self) -> None:
        client = HubClient(self.hub.client(), SECRET, elapsed=lambda: self.now, retry=AT_ONCE)
        settings = Settings(max_calls_per_agent=2, backoff=AT_ONCE)
        [(method, self.handler)] = rpc.services(client, self.pushes, self.usage, settings)
        assert method is GET_OBJECTS_TO_SYNCHRONIZE

    def ask(self, commit_id: str = "", **more: object) -> aclosing[Responses]:
        call = AgentCall(agent=AGENT, agent_token=Secret("glagent-good"), connection_id=1)
        request = ObjectsToSynchronizeRequest(
            **{
                "project_id": "ops/fleet",
                "commit_id": commit_id,
                "paths": [PathCF(glob="/**/*.yaml")],
                **more,
            }
        )
        return aclosing(cast("Responses", self.handler(call, request)))

    async def set_of(self, **more: object) -> list[ObjectsToSynchronizeResponse]:
        async with self.ask(**more) as responses:
            return [response async for response in responses]


async def waiting(responses: Responses) -> asyncio.Task[ObjectsToSynchronizeResponse]:
    task = asyncio.get_running_loop().create_task(anext(responses))
    await settled()
    assert not task.done()
    return task


async def settled() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


def arms(responses: list[ObjectsToSynchronizeResponse]) -> list[str | None]:
    return [response.WhichOneof("message") for response in responses]


@pytest.mark.asyncio
async def test_a_set_is_a_header_objects_and_a_trailer():
    kas = Kas()
    responses = await kas.set_of()
    assert arms(responses) == ["header", "object", "object", "trailer"]
    assert (responses[0].header.commit_id, responses[0].header.project_id) == (COMMIT, 31)
    assert [(one.object.source, one.object.data) for one in responses[1:3]] == [
        ("a.yaml", b"1"),
        ("b/c.yaml", b""),
    ]
    usage = kas.usage.take()
    assert usage is not None
    assert usage.counters["gitops_sync"] == 1


@pytest.mark.asyncio
async def test_a_large_file_comes_in_pieces_of_one_source():
    kas = Kas(hub=FakeHub(files={"a.yaml": b"x" * 300_000}))
    objects = (await kas.set_of())[1:-1]
    assert [(one.object.source, len(one.object.data)) for one in objects] == [
        ("a.yaml", 131072),
        ("a.yaml", 131072),
        ("a.yaml", 37856),
    ]


@pytest.mark.asyncio
async def test_no_files_are_a_set_too():
    assert arms(await Kas(hub=FakeHub()).set_of()) == ["header", "trailer"]


@pytest.mark.asyncio
async def test_an_agent_that_has_the_commit_waits_for_the_next():
    kas = Kas()
    async with kas.ask(COMMIT) as responses:
        first = await waiting(responses)
        await kas.pushes.git_push(Push())  # another branch
        await settled()
        kas.hub.commit_id = NEXT
        await kas.pushes.git_push(Push())
        assert (await first).header.commit_id == NEXT


@pytest.mark.asyncio
async def test_an_empty_repository_is_waited_for():
    kas = Kas(hub=FakeHub(commit_id=None))
    async with kas.ask() as responses:
        first = await waiting(responses)
        kas.hub.commit_id = COMMIT
        await kas.pushes.git_push(Push())
        assert (await first).header.commit_id == COMMIT


@pytest.mark.asyncio
async def test_a_ref_may_be_a_tag_a_branch_or_a_commit_which_never_changes():
    kas = Kas()
    kas.hub.refs = {("tag", "v1"): NEXT, ("branch", "main"): COMMIT}
    for ref, commit_id in [
        (GitRefCF(tag="v1"), NEXT),
        (GitRefCF(branch="main"), COMMIT),
        (GitRefCF(commit=NEXT), NEXT),
    ]:
        assert (await kas.set_of(ref=ref))[0].header.commit_id == commit_id
    async with kas.ask(NEXT, ref=GitRefCF(commit=NEXT)) as responses:
        again = await waiting(responses)
        await kas.pushes.git_push(Push())
        await settled()
        assert not again.done()
        again.cancel()
        await settled()


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"ref": GitRefCF(tag="absent")}, StatusCode.NOT_FOUND),
        ({"project_id": "secret/x"}, StatusCode.NOT_FOUND),
        ({"project_id": ""}, StatusCode.INVALID_ARGUMENT),
        ({"paths": []}, StatusCode.INVALID_ARGUMENT),
        ({"paths": [PathCF(glob="[")]}, StatusCode.FAILED_PRECONDITION),
        ({"paths": [PathCF(glob="*.yaml"), PathCF(glob="a.*")]}, StatusCode.FAILED_PRECONDITION),
        ({"paths": [PathCF(file="absent")]}, StatusCode.FAILED_PRECONDITION),
    ],
)
@pytest.mark.asyncio
async def test_what_cannot_be_synchronized_has_its_status(more, code):
    kas = Kas()
    with pytest.raises(RpcError) as caught:
        await kas.set_of(**more)
    assert caught.value.code == code
    assert kas.usage.take() is None


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, StatusCode.UNAUTHENTICATED, "unauthenticated"),
        (403, StatusCode.PERMISSION_DENIED, "forbidden"),
        (404, StatusCode.NOT_FOUND, "project not found"),
    ],
)
@pytest.mark.asyncio
async def test_a_project_the_agent_may_not_read_is_said_to_be(status, code, message):
    kas = Kas()
    kas.hub.answer_with("project_info", json_answer(status, {"message": "no"}))
    with pytest.raises(RpcError, match=message) as caught:
        await kas.set_of()
    assert caught.value.code == code
    assert len(kas.hub.requests) == 1


@pytest.mark.asyncio
async def test_a_right_that_is_gone_ends_a_waiting_call():
    kas = Kas()
    async with kas.ask(COMMIT) as responses:
        first = await waiting(responses)
        kas.hub.projects.clear()
        kas.now += 60
        await kas.pushes.git_push(Push())
        with pytest.raises(RpcError, match="project not found"):
            await first


@pytest.mark.asyncio
async def test_a_path_that_leads_to_another_project_now_ends_the_call_well():
    kas = Kas()
    async with kas.ask(COMMIT) as responses:
        first = await waiting(responses)
        kas.hub.projects["ops/fleet"] = 32
        kas.now += 60
        await kas.pushes.git_push(Push())
        with pytest.raises(StopAsyncIteration):
            await first


@pytest.mark.asyncio
async def test_a_git_side_that_is_away_is_waited_for():
    kas = Kas()
    kas.hub.answer_with("project_info", httpx2.ConnectError("refused"), httpx2.Response(503))
    kas.hub.answer_with("repository_ref", *[httpx2.Response(502)] * 6)
    assert arms(await kas.set_of())[0] == "header"


@pytest.mark.asyncio
async def test_a_gitlab_without_our_routes_is_told_and_not_waited_for():
    kas = Kas()
    kas.hub.answer_with("repository_ref", json_answer(404, {"error": "404 Not Found"}))
    with pytest.raises(RpcError, match="has no route repository_ref") as caught:
        await kas.set_of()
    assert caught.value.code == StatusCode.FAILED_PRECONDITION


@pytest.mark.asyncio
async def test_a_set_that_breaks_in_the_middle_has_no_trailer():
    kas = Kas()
    kas.hub.answer_with("repository_file", *[httpx2.Response(503)] * 5)
    async with kas.ask() as responses:
        assert (await anext(responses)).HasField("header")
        with pytest.raises(RpcError, match="could not be read") as caught:
            await anext(responses)
    assert caught.value.code == StatusCode.UNAVAILABLE


@pytest.mark.asyncio
async def test_an_agent_has_a_few_calls_at_a_time():
    kas = Kas()
    async with AsyncExitStack() as calls:
        running = [await waiting(await calls.enter_async_context(kas.ask(COMMIT))) for _ in range(2)]
        with pytest.raises(RpcError, match="too many calls") as caught:
            await kas.set_of()
        assert caught.value.code == StatusCode.RESOURCE_EXHAUSTED
        for task in running:
            task.cancel()
        await settled()
    assert arms(await kas.set_of())[-1] == "trailer"
