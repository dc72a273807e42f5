"""One agent watching its configuration, against a hub in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import cast

import httpx2
import pytest

from kasbah.kas.agent_configuration import rpc
from kasbah.kas.agent_configuration.settings import Settings
from kasbah.kas.agent_tracker.memory import InMemoryAgentTracker
from kasbah.kas.agent_tracker.tracker import ConnectedAgent, TrackerUnavailableError
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.notifications.pushes import GitPushes
from kasbah.kas.reverse_tunnel.call import AgentCall
from kasbah.kit.backoff import BackoffSettings
from kasbah.kit.secrets import Secret
from kasbah.wire.methods import GET_CONFIGURATION
from kasbah.wire.pb.gitlab.agent.agent_configuration.rpc.rpc_pb2 import (
    ConfigurationRequest,
    ConfigurationResponse,
)
from kasbah.wire.pb.gitlab.agent.entity.entity_pb2 import AgentMeta
from kasbah.wire.rpc import RpcError, StatusCode
from tests.doubles.fake_hub import COMMIT, SECRET, FakeHub, json_answer

AT_ONCE = BackoffSettings(initial_s=0, maximum_s=0, reset_s=1)
PATH = ".gitlab/agents/prod-eu/config.yaml"
AGENT = AgentInfo(
    agent_id=7, project_id=31, agent_name="prod-eu", project_path="ops/fleet", default_branch="main"
)


@dataclass(frozen=True)
class Push:
    project_id: int = 31
    full_path: str = "ops/fleet"


@dataclass
class Kas:
    """The service, with everything around it in memory and a clock that the test turns."""

    hub: FakeHub = field(default_factory=FakeHub)
    pushes: GitPushes = field(default_factory=GitPushes)
    tracker: InMemoryAgentTracker = field(default_factory=InMemoryAgentTracker)
    now: float = 1000.0

    def __post_init__(self) -> None:
        client = HubClient(self.hub.client(), SECRET, elapsed=lambda: self.now, retry=AT_ONCE)
        settings = Settings(gitlab_external_url="https://git.example", backoff=AT_ONCE)
        [(method, self.handler)] = rpc.services(client, self.pushes, self.tracker, settings)
        assert method is GET_CONFIGURATION

    def watch(
        self, commit_id: str = "", *, pod: int = 1, **more: object
    ) -> aclosing[AsyncGenerator[ConfigurationResponse]]:
        call = AgentCall(agent=AGENT, agent_token=Secret("glagent-good"), connection_id=pod)
        request = ConfigurationRequest(**{"commit_id": commit_id, "skip_register": True, **more})
        return aclosing(cast("AsyncGenerator[ConfigurationResponse]", self.handler(call, request)))

    async def push(self, commit_id: str, config: bytes) -> None:
        self.hub.commit_id, self.hub.files[PATH] = commit_id, config
        await self.pushes.git_push(Push())


async def settled() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_an_agent_gets_its_configuration_and_the_hub_hears_of_it():
    kas = Kas()
    kas.hub.files[PATH] = b"""user_access: {access_as: {agent: {}},
                groups: [id: ops]}
observability: {logging: {level: debug}}
"""
    async with kas.watch() as responses:
        response = await anext(responses)
    assert response.commit_id == COMMIT
    configuration = response.configuration
    assert (configuration.agent_id, configuration.project_id, configuration.project_path) == (
        7,
        31,
        "ops/fleet",
    )
    assert configuration.gitlab_external_url == "https://git.example"
    assert configuration.observability.logging.level == 1
    told = kas.hub.configurations[0]
    assert told["agent_config"]["user_access"] == {"access_as": {"agent": {}}, "groups": [{"id": "ops"}]}
    assert (told["agent_config_lines"], told["commit_id"]) == ({"user_access.groups[0]": 2}, COMMIT)


@pytest.mark.asyncio
async def test_a_missing_file_is_an_empty_configuration_that_is_sent_and_told():
    kas = Kas()
    async with kas.watch() as responses:
        response = await anext(responses)
    assert response.configuration.agent_id == 7
    assert kas.hub.configurations == [
        {"agent_id": 7, "agent_config": {}, "agent_config_lines": {}, "commit_id": COMMIT}
    ]


@pytest.mark.asyncio
async def test_a_push_brings_the_next_configuration():
    kas = Kas()
    async with kas.watch() as responses, asyncio.TaskGroup() as tasks:
        await anext(responses)
        following = tasks.create_task(anext(responses))
        await settled()
        await kas.push("b" * 40, b"observability: {logging: {level: warn}}")
        assert (await following).commit_id == "b" * 40


@pytest.mark.asyncio
async def test_an_agent_that_has_the_newest_commit_is_sent_nothing_until_a_push():
    kas = Kas()
    async with kas.watch(COMMIT) as responses, asyncio.TaskGroup() as tasks:
        following = tasks.create_task(anext(responses))
        await settled()
        assert not following.done()
        assert kas.hub.configurations == []
        await kas.push("b" * 40, b"")
        assert (await following).commit_id == "b" * 40


@pytest.mark.asyncio
async def test_an_empty_repository_is_waited_for():
    kas = Kas(hub=FakeHub(commit_id=None))
    async with kas.watch() as responses, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(anext(responses))
        await settled()
        assert not first.done()
        await kas.push(COMMIT, b"")
        assert (await first).commit_id == COMMIT


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            b"user_acess: {}",
            f"Config: failed to parse agent configuration: {PATH}: user_acess: unknown key; did you",
        ),
        (b"a: [", f"Config: failed to parse agent configuration: {PATH}: line 2, column 1"),
        (
            b"container_scanning: {}",
            f"Config: invalid agent configuration: {PATH}: container_scanning.cadence: is",
        ),
        (b"#" * 131_073, f"Config: agent configuration file: {PATH} is larger than 131072 bytes"),
    ],
)
@pytest.mark.asyncio
async def test_a_file_that_cannot_be_used_ends_the_call_with_the_reason(config: bytes, message: str):
    kas = Kas()
    kas.hub.files[PATH] = config
    async with kas.watch() as responses:
        with pytest.raises(RpcError) as caught:
            await anext(responses)
    assert caught.value.code == StatusCode.FAILED_PRECONDITION
    assert str(caught.value).startswith(message)
    assert kas.hub.configurations == []


@pytest.mark.asyncio
async def test_a_pod_is_told_of_a_bad_file_once_and_gets_the_correction_at_once():
    kas = Kas()
    kas.hub.files[PATH] = b"user_acess: {}"
    async with kas.watch() as responses:
        with pytest.raises(RpcError):
            await anext(responses)
    async with kas.watch() as responses, asyncio.TaskGroup() as tasks:
        following = tasks.create_task(anext(responses))
        await settled()
        assert not following.done()
        await kas.push("b" * 40, b"user_access: {}")
        assert (await following).commit_id == "b" * 40


@pytest.mark.asyncio
async def test_another_pod_is_told_of_the_bad_file_too():
    kas = Kas()
    kas.hub.files[PATH] = b"user_acess: {}"
    for pod in (1, 2):
        async with kas.watch(pod=pod) as responses:
            with pytest.raises(RpcError, match="did you mean user_access"):
                await anext(responses)


@pytest.mark.asyncio
async def test_a_hub_that_is_away_is_waited_for():
    kas = Kas()
    kas.hub.answer_with("agent_info", httpx2.ConnectError("refused"), httpx2.Response(503))
    kas.hub.answer_with("repository_head", *[httpx2.Response(502)] * 5)
    async with kas.watch() as responses:
        assert (await anext(responses)).commit_id == COMMIT


@pytest.mark.asyncio
async def test_a_hub_that_cannot_be_told_keeps_nothing_from_the_agent_and_is_told_later():
    kas = Kas()
    kas.hub.answer_with("agent_configuration", *[httpx2.Response(503)] * 5)
    async with kas.watch() as responses, asyncio.TaskGroup() as tasks:
        assert (await anext(responses)).commit_id == COMMIT
        following = tasks.create_task(anext(responses))
        await settled()
        assert len(kas.hub.configurations) == 1
        following.cancel()


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, StatusCode.UNAUTHENTICATED, "unauthenticated"),
        (403, StatusCode.PERMISSION_DENIED, "forbidden"),
        (404, StatusCode.NOT_FOUND, "agent not found"),
    ],
)
@pytest.mark.asyncio
async def test_an_agent_that_is_no_longer_known_is_told_so(status: int, code: StatusCode, message: str):
    kas = Kas()
    kas.hub.answer_with("agent_info", json_answer(status, {"message": "no"}))
    async with kas.watch() as responses:
        with pytest.raises(RpcError) as caught:
            await anext(responses)
    assert (caught.value.code, str(caught.value)) == (code, message)


@pytest.mark.asyncio
async def test_a_revoked_token_ends_a_running_call_at_the_next_look():
    kas = Kas()
    async with kas.watch() as responses:
        await anext(responses)
        kas.hub.token = "glagent-other"
        kas.now += 10
        await kas.pushes.git_push(Push())
        with pytest.raises(RpcError, match="unauthenticated"):
            await anext(responses)


@pytest.mark.asyncio
async def test_a_project_that_is_gone_ends_the_call():
    kas = Kas()
    kas.hub.answer_with("repository_head", json_answer(404, {"message": "404 Project Not Found"}))
    async with kas.watch() as responses:
        with pytest.raises(RpcError, match="Config: repository poll failed") as caught:
            await anext(responses)
    assert caught.value.code == StatusCode.NOT_FOUND


META = AgentMeta(version="v16.4.0", pod_name="p")


@pytest.mark.asyncio
async def test_an_agent_from_before_the_registrar_is_connected_while_it_watches():
    kas = Kas()
    async with kas.watch(skip_register=False, agent_meta=META) as responses:
        await anext(responses)
        assert [agent.version for agent in await kas.tracker.agent_connections(7)] == ["v16.4.0"]
    assert await kas.tracker.agent_connections(7) == []


@pytest.mark.asyncio
async def test_an_agent_that_watches_on_is_not_forgotten():
    kas = Kas()
    async with kas.watch(skip_register=False, agent_meta=META) as responses, asyncio.TaskGroup() as tasks:
        await anext(responses)
        await kas.tracker.unregister(7, 1)  # as if its time were over
        following = tasks.create_task(anext(responses))
        await settled()
        await kas.pushes.git_push(Push())
        await settled()
        assert len(await kas.tracker.agent_connections(7)) == 1
        following.cancel()


@pytest.mark.parametrize("request_fields", [{"agent_meta": META}, {"skip_register": False}, {}])
@pytest.mark.asyncio
async def test_an_agent_that_registers_is_connected_by_that_alone(request_fields: dict[str, object]):
    kas = Kas()
    async with kas.watch(**request_fields) as responses:
        await anext(responses)
        assert await kas.tracker.agent_connections(7) == []


@pytest.mark.asyncio
async def test_a_tracker_that_is_away_keeps_nothing_from_an_agent():
    class Away(InMemoryAgentTracker):
        async def register(self, agent: ConnectedAgent) -> None:
            raise TrackerUnavailableError("no redis")

        async def unregister(self, agent_id: int, connection_id: int) -> None:
            raise TrackerUnavailableError("no redis")

    kas = Kas(tracker=Away())
    async with kas.watch(skip_register=False, agent_meta=META) as responses:
        assert (await anext(responses)).commit_id == COMMIT


@pytest.mark.asyncio
async def test_a_commit_id_that_is_none_is_refused_and_nothing_is_asked():
    kas = Kas()
    async with kas.watch("a" * 257) as responses:
        with pytest.raises(RpcError) as caught:
            await anext(responses)
    assert (caught.value.code, kas.hub.requests) == (StatusCode.INVALID_ARGUMENT, [])


@pytest.mark.asyncio
async def test_a_gitlab_without_our_routes_is_told_and_not_waited_for():
    kas = Kas()
    kas.hub.answer_with("repository_head", json_answer(404, {"error": "404 Not Found"}))
    async with kas.watch() as responses:
        with pytest.raises(RpcError, match="has no route repository_head") as caught:
            await anext(responses)
    assert caught.value.code == StatusCode.FAILED_PRECONDITION


@pytest.mark.asyncio
async def test_many_pods_look_and_tell_together():
    kas = Kas()
    async with AsyncExitStack() as calls, asyncio.TaskGroup() as tasks:
        pods = [await calls.enter_async_context(kas.watch(pod=pod)) for pod in range(20)]
        first = [tasks.create_task(anext(pod)) for pod in pods]
        assert {(await response).commit_id for response in first} == {COMMIT}
        following = [tasks.create_task(anext(pod)) for pod in pods]
        await settled()
        kas.hub.requests.clear()
        await kas.push("b" * 40, b"user_access: {}")
        assert {(await response).commit_id for response in following} == {"b" * 40}
    asked = Counter(request.url.path.rpartition("/")[2] for request in kas.hub.requests)
    assert max(asked.values()) <= 2
    assert asked["agent_configuration"] <= 2


@pytest.mark.asyncio
async def test_a_branch_that_is_set_back_is_told_again():
    kas = Kas()
    kas.hub.refs = {("branch", "main"): COMMIT}
    async with kas.watch() as responses:
        await anext(responses)
        for commit_id, config in (("b" * 40, b"user_access: {}"), (COMMIT, b"")):
            following = asyncio.get_running_loop().create_task(anext(responses))
            await settled()
            await kas.push(commit_id, config)
            assert (await following).commit_id == commit_id
    assert [told["agent_config"] for told in kas.hub.configurations] == [{}, {"user_access": {}}, {}]


@pytest.mark.asyncio
async def test_pushes_to_other_projects_are_nobodys_business():
    kas = Kas()
    async with kas.watch() as responses, asyncio.TaskGroup() as tasks:
        await anext(responses)
        following = tasks.create_task(anext(responses))
        await settled()
        asked = len(kas.hub.requests)
        await kas.pushes.git_push(Push(project_id=32))
        await settled()
        assert len(kas.hub.requests) == asked
        following.cancel()
