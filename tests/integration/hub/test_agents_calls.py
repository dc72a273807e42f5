"""What agents ask of kas, answered with the real hub behind it: every call over a pair of ends in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from kasbah.hub.app import create_app
from kasbah.kas.agent_configuration import rpc as agent_configuration
from kasbah.kas.agent_configuration.settings import Settings as AgentConfigurationSettings
from kasbah.kas.agent_tracker.memory import InMemoryAgentTracker
from kasbah.kas.flux import rpc as flux
from kasbah.kas.flux.settings import Settings as FluxSettings
from kasbah.kas.gitlab_access import rpc as gitlab_access
from kasbah.kas.gitlab_access.settings import Settings as GitlabAccessSettings
from kasbah.kas.gitops import rpc as gitops
from kasbah.kas.gitops.settings import Settings as GitopsSettings
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.notifications.pushes import GitPushes
from kasbah.kas.reverse_tunnel.call import AgentCall
from kasbah.kas.usage_metrics.counters import UsageCounters
from kasbah.kit.secrets import Secret
from kasbah.rpc.client import CallClient
from kasbah.rpc.server import CallServer
from kasbah.wire.methods import (
    GET_CONFIGURATION,
    GET_OBJECTS_TO_SYNCHRONIZE,
    GITLAB_ACCESS_MAKE_REQUEST,
    RECONCILE_PROJECTS,
)
from kasbah.wire.pb.gitlab.agent.flux.rpc.rpc_pb2 import Project, ReconcileProjectsRequest
from kasbah.wire.pb.gitlab.agent.gitlab_access.rpc.rpc_pb2 import HeaderExtra
from kasbah.wire.pb.gitlab.agent.gitops.rpc.rpc_pb2 import ObjectsToSynchronizeRequest, PathCF
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest, HttpResponse
from kasbah.wire.pb.gitlab.agent.prototool import prototool_pb2
from kasbah.wire.rpc import Call, CallHandler, Metadata, RpcError, StatusCode
from tests.doubles.call_pair import CallPair
from tests.integration.hub.conftest import KAS_KEY, URL, World, running, settings
from tests.integration.repositories.conftest import Git, serving_application

pytestmark = pytest.mark.asyncio


@dataclass
class Agent:
    """One agent's calls; a `Caller`."""

    server: CallServer[AgentCall]
    context: AgentCall
    tasks: asyncio.TaskGroup
    pairs: list[CallPair] = field(default_factory=list)

    def open_call(self, path: str, handler: CallHandler, metadata: Metadata = ()) -> Call:
        pair = CallPair()
        pair.caller.handler = handler
        pair.answerer.handler = self.server.accept(path, pair.answerer, self.context, self.tasks)
        self.pairs.append(pair)
        return pair.caller

    async def pump(self) -> None:
        while True:
            for pair in self.pairs:
                pair.pump()
            await asyncio.sleep(0.001)

    @property
    def calls(self) -> CallClient:
        async def this() -> Agent:
            return self

        return CallClient(this)


@dataclass
class Whole:
    """A hub with one agent's project, kas' services, and a git that pushes."""

    world: World
    agent: Agent
    git: Git
    work: Path
    port: int

    async def push(self, project: str, path: str, content: bytes) -> str:
        commit_id = await self.git.commit(self.work, path, content)
        url = f"http://root:{self.world.root_token}@127.0.0.1:{self.port}/{project}.git"
        await self.git("push", "-q", url, "main", cwd=self.work)
        return commit_id


@asynccontextmanager
async def whole(data_dir: Path, tmp_path: Path) -> AsyncIterator[Whole]:
    pushes = GitPushes()
    app = create_app(settings(data_dir), pushes)
    async with (
        running(app, data_dir) as world,
        serving_application(app.asgi) as port,
        asyncio.TaskGroup() as tasks,
    ):
        group = await world.group("ops", visibility="public")
        project = await world.project("fleet", namespace_id=group)
        await world.project("apps", namespace_id=group, visibility="public")
        await world.project("secret", namespace_id=group)
        token = Secret((await world.agent_token(project, await world.agent(project)))["token"])
        transport = httpx2.ASGITransport(app.asgi, raise_app_exceptions=False)
        hub = HubClient(httpx2.AsyncClient(transport=transport, base_url=URL), KAS_KEY)
        tracker, usage = InMemoryAgentTracker(), UsageCounters()
        server = CallServer(
            [
                *agent_configuration.services(hub, pushes, tracker, AgentConfigurationSettings()),
                *flux.services(hub, pushes, usage, FluxSettings()),
                *gitlab_access.services(hub, GitlabAccessSettings()),
                *gitops.services(hub, pushes, usage, GitopsSettings()),
            ]
        )
        context = AgentCall(agent=await hub.agent_info(token), agent_token=token, connection_id=1)
        agent = Agent(server, context, tasks)
        pump = tasks.create_task(agent.pump())
        home = tmp_path / "home"
        home.mkdir()
        git = Git(home)
        async with asyncio.timeout(30):
            yield Whole(world, agent, git, await git.make_work(), port)
        for pair in agent.pairs:
            pair.lose()
        pump.cancel()


async def test_a_configuration_and_its_correction_reach_the_agent(data_dir: Path, tmp_path: Path):
    async with whole(data_dir, tmp_path) as whole_hub:
        request = GET_CONFIGURATION.request()
        async with aclosing(whole_hub.agent.calls.server_stream(GET_CONFIGURATION, request)) as responses:
            path = ".gitlab/agents/prod/config.yaml"
            first = asyncio.get_running_loop().create_task(anext(responses))
            await asyncio.sleep(0.05)
            commit_id = await whole_hub.push("ops/fleet", path, b"observability: {logging: {level: warn}}\n")
            response = await first
            assert (response.commit_id, response.configuration.project_path) == (commit_id, "ops/fleet")
            second = asyncio.get_running_loop().create_task(anext(responses))
            commit_id = await whole_hub.push("ops/fleet", path, b"{}\n")
            assert (await second).commit_id == commit_id


async def test_a_set_of_manifests_follows_each_push(data_dir: Path, tmp_path: Path):
    async with whole(data_dir, tmp_path) as whole_hub:
        big = b"# " + b"x" * 200_000 + b"\n"
        have = await whole_hub.push("ops/apps", "deploy/one.yaml", b"one: 1\n")
        following = asyncio.get_running_loop().create_task(manifests(whole_hub, have))
        await asyncio.sleep(0.05)
        assert not following.done()
        commit_id = await whole_hub.push("ops/apps", "deploy/two.yaml", big)
        assert await following == (commit_id, {"deploy/one.yaml": b"one: 1\n", "deploy/two.yaml": big})
        for project, code in (("ops/secret", StatusCode.NOT_FOUND), ("no/where", StatusCode.NOT_FOUND)):
            with pytest.raises(RpcError, match="project not found") as caught:
                await manifests(whole_hub, "", project)
            assert caught.value.code == code


async def manifests(
    whole_hub: Whole, commit_id: str, project: str = "ops/apps"
) -> tuple[str, dict[str, bytes]]:
    request = ObjectsToSynchronizeRequest(
        project_id=project, commit_id=commit_id, paths=[PathCF(glob="/**/*.{yaml,yml,json}")]
    )
    files: dict[str, bytes] = {}
    stream = whole_hub.agent.calls.server_stream(GET_OBJECTS_TO_SYNCHRONIZE, request)
    async with aclosing(stream) as responses:
        found = (await anext(responses)).header.commit_id
        async for response in responses:
            if response.HasField("object"):
                piece = response.object
                files[piece.source] = files.get(piece.source, b"") + piece.data
    assert response.HasField("trailer")
    return found, files


async def test_flux_hears_of_pushes_it_may_hear_of(data_dir: Path, tmp_path: Path):
    async with whole(data_dir, tmp_path) as whole_hub:
        watched = [Project(id=path) for path in ("ops/secret", "ops/apps", "ops/fleet")]
        stream = whole_hub.agent.calls.server_stream(
            RECONCILE_PROJECTS, ReconcileProjectsRequest(project=watched)
        )
        async with aclosing(stream) as responses:
            first = asyncio.get_running_loop().create_task(anext(responses))
            await asyncio.sleep(0.05)
            await whole_hub.push("ops/secret", "a", b"1")
            await whole_hub.push("ops/apps", "a", b"2")
            assert (await first).project.id == "ops/apps"
            await whole_hub.push("ops/fleet", "a", b"3")
            assert (await anext(responses)).project.id == "ops/fleet"
            whole_hub.agent.server.end_long_calls()
            with pytest.raises(StopAsyncIteration):
                await anext(responses)


class Answers:
    """Collects what a call is answered."""

    def __init__(self) -> None:
        self.responses: list[HttpResponse] = []
        self.over: asyncio.Future[RpcError | None] = asyncio.get_running_loop().create_future()

    def message_received(self, message: bytes) -> None:
        self.responses.append(HttpResponse.FromString(message))
        self.call.consumed(len(message))

    def ended(self) -> None:
        self.over.set_result(None)

    def failed(self, code: StatusCode, message: str) -> None:
        self.over.set_result(RpcError(code, message))

    def writable(self) -> None: ...

    call: Call


async def made(agent: Agent, path: str, body: bytes) -> tuple[RpcError | None, list[HttpResponse]]:
    answers = Answers()
    answers.call = agent.open_call(GITLAB_ACCESS_MAKE_REQUEST.path, answers)
    asked = prototool_pb2.HttpRequest(method="POST", url_path=path)
    header = HttpRequest.Header(request=asked, content_length=len(body))
    header.extra.Pack(HeaderExtra(module_name="remote_development"))
    for message in (
        HttpRequest(header=header),
        HttpRequest(data=HttpRequest.Data(data=body)),
        HttpRequest(trailer=HttpRequest.Trailer()),
    ):
        answers.call.send(message.SerializeToString())
    answers.call.end()
    return await answers.over, answers.responses


async def test_a_module_we_do_not_have_answers_like_gitlabs_and_paths_stay_below_it(
    data_dir: Path, tmp_path: Path
):
    async with whole(data_dir, tmp_path) as whole_hub:
        error, responses = await made(whole_hub.agent, "/reconcile", b"{}")
        assert error is None
        assert [response.WhichOneof("message") for response in responses] == ["header", "data", "trailer"]
        assert responses[0].header.response.status_code == 404
        assert responses[1].data.data == b'{"error":"404 Not Found"}'
        for path in ("/../../agent_info", "/%2e%2e/%2e%2e/agent_info", "//agent_info", "/..\\x"):
            error, responses = await made(whole_hub.agent, path, b"")
            assert error is not None
            assert (error.code, responses) == (StatusCode.INVALID_ARGUMENT, [])
