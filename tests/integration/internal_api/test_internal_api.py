"""The internal API over loopback: grpcio calls ours, and our client calls ours and grpcio's."""

from __future__ import annotations

import asyncio
import base64
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from kasbah.hub.kas_client import GitPushEvent
from kasbah.hub.remote_kas import CALL_TIMEOUT_S, KasTokens, RemoteKas
from kasbah.kas.agent_tracker import rpc as agent_tracker
from kasbah.kas.agent_tracker.memory import InMemoryAgentTracker
from kasbah.kas.agent_tracker.tracker import ConnectedAgent
from kasbah.kas.configuration_project import rpc as configuration_project
from kasbah.kas.http_server.server import HttpServer, Listen, make_tls_context
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.internal_api.server import InternalApi
from kasbah.kas.notifications import rpc as notifications
from kasbah.kas.notifications.pushes import GitPushes
from kasbah.kit import local_ca
from kasbah.rpc.grpc_dial import GrpcDial, parse_grpc_address
from kasbah.wire.methods import GET_CONNECTED_AGENTS, GIT_PUSH_EVENT, LIST_AGENT_CONFIG_FILES
from kasbah.wire.pb.gitlab.agent.agent_tracker.rpc.rpc_pb2 import GetConnectedAgentsRequest
from kasbah.wire.pb.gitlab.agent.configuration_project.rpc.rpc_pb2 import ListAgentConfigFilesRequest
from kasbah.wire.pb.gitlab.agent.entity.entity_pb2 import GitalyInfo, GitalyRepository
from kasbah.wire.pb.gitlab.agent.event.event_pb2 import GitPushEvent as PbGitPushEvent
from kasbah.wire.pb.gitlab.agent.event.event_pb2 import Project
from kasbah.wire.pb.gitlab.agent.notifications.rpc.rpc_pb2 import GitPushEventRequest
from kasbah.wire.rpc import RpcError, StatusCode, UnaryMethod
from tests.doubles.fake_hub import SECRET as HUB_SECRET
from tests.doubles.fake_hub import FakeHub
from tests.doubles.forged_jwts import forgeries, signed

pytestmark = pytest.mark.asyncio

KEY = b"k" * 32
ALONE = (("grpc.use_local_subchannel_pool", 1),)
PUSH = GitPushEventRequest(event=PbGitPushEvent(project=Project(id=31, full_path="ops/fleet")))
AGENT = ConnectedAgent(agent_id=7, project_id=31, connection_id=5, version="v18.0.0", pod_name="agentk-1")


def token() -> str:
    return signed({"aud": ["gitlab-kas"], "iss": "gitlab.example.com", "exp": int(time.time()) + 60}, KEY)


class Kas:
    """What stands behind the internal API of the tests."""

    def __init__(self) -> None:
        self.pushes = GitPushes()
        self.tracker = InMemoryAgentTracker()
        self.hub = FakeHub(files={".gitlab/agents/prod/config.yaml": b"x", "README": b"x"})
        hub = HubClient(self.hub.client(), HUB_SECRET)
        self.api = InternalApi(
            [
                *agent_tracker.services(self.tracker),
                *notifications.services(self.pushes),
                *configuration_project.services(hub),
            ],
            KEY,
        )


@asynccontextmanager
async def serving(kas: Kas, **listen: object) -> AsyncIterator[int]:
    """Its internal API on a port."""
    listens = [Listen(host="127.0.0.1", port=0, **listen)]
    server, ready = HttpServer(listens, kas.api.exchange, accept_http2=kas.api.accept), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(kas.api.run()), tasks.create_task(server.run(ready.set))]
        await ready.wait()
        yield server.addresses[0][1]
        await server.drain()
        await kas.api.drain()
        for task in running:
            task.cancel()


async def ask(channel: grpc.aio.Channel, method: UnaryMethod, request: object, *credentials: str):
    """What grpcio is answered."""
    call = channel.unary_unary(
        method.path,
        request_serializer=method.request.SerializeToString,
        response_deserializer=method.response.FromString,
    )
    return await call(request, metadata=[("authorization", value) for value in credentials], timeout=10)


@asynccontextmanager
async def told(port: int, **options: object) -> AsyncIterator[RemoteKas]:
    """Our client of a kas on that port."""
    dial = GrpcDial(
        parse_grpc_address(f"grpc://127.0.0.1:{port}"),
        None,
        user_agent="hub",
        metadata=KasTokens(KEY).metadata,
    )
    remote = RemoteKas(dial)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(remote.run())
        yield remote
        running.cancel()


# -- grpcio calls us


async def test_grpcio_is_answered_by_every_service():
    kas = Kas()
    await kas.tracker.register(AGENT)
    async with serving(kas) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        bearer = f"bearer {token()}"
        with kas.pushes.watch(31) as watch:
            await ask(channel, GIT_PUSH_EVENT, PUSH, bearer)
            assert await watch.wait(5)
        connected = await ask(channel, GET_CONNECTED_AGENTS, GetConnectedAgentsRequest(project_id=31), bearer)
        assert [(agent.agent_id, agent.agent_meta.pod_name) for agent in connected.agents] == [
            (7, "agentk-1")
        ]
        repository = GitalyRepository(gl_repository="project-31")
        asked = ListAgentConfigFilesRequest(repository=repository, gitaly_info=GitalyInfo())
        listed = await ask(channel, LIST_AGENT_CONFIG_FILES, asked, bearer)
        assert [file.agent_name for file in listed.config_files] == ["prod"]


async def test_grpcio_hears_whose_fault_it_is():
    kas = Kas()
    async with serving(kas) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(channel, GET_CONNECTED_AGENTS, GetConnectedAgentsRequest(), f"bearer {token()}")
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(
                channel, UnaryMethod("/x.Y/Z", *_types()), GetConnectedAgentsRequest(), f"bearer {token()}"
            )
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def _types():
    return GET_CONNECTED_AGENTS.request, GET_CONNECTED_AGENTS.response


async def test_nobody_with_a_forged_token_is_answered():
    now = int(time.time())
    forged = forgeries(KEY, {"aud": "gitlab-kas", "iss": "gitlab.example.com", "exp": now + 60}, now)
    sendable = [value for value in forged.values() if value.isascii() and value.isprintable()]
    kas = Kas()
    async with serving(kas) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for value in (*sendable, ""):
            # A channel each: on one, so many refusals would be a flood.
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", ALONE) as other:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await ask(other, GIT_PUSH_EVENT, PUSH, f"bearer {value}")
            assert caught.value.code() in {
                grpc.StatusCode.UNAUTHENTICATED,
                grpc.StatusCode.RESOURCE_EXHAUSTED,
            }
        for values in ((), (f"bearer {token()}",) * 2):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(channel, GIT_PUSH_EVENT, PUSH, *values)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert caught.value.details() == "JWT validation failed"
    assert len(sendable) >= 60


async def test_over_tls_and_a_path(tmp_path: Path):
    files = local_ca.ensure_local_ca(tmp_path, ["localhost"])
    context = make_tls_context(str(files.certificate), str(files.key))
    kas = Kas()
    async with serving(kas, tls=context) as port:
        credentials = grpc.ssl_channel_credentials(files.ca_certificate.read_bytes())
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
            await ask(channel, GIT_PUSH_EVENT, PUSH, f"Bearer {token()}")
    path = tmp_path / "kas.sock"
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(path))
    bound.listen()
    async with serving(Kas(), sockets=(bound,)), grpc.aio.insecure_channel(f"unix:{path}") as channel:
        await ask(channel, GIT_PUSH_EVENT, PUSH, f"bearer {token()}")


# -- our client


async def test_our_hub_tells_our_kas_and_asks_it():
    kas = Kas()
    await kas.tracker.register(AGENT)
    async with serving(kas) as port, told(port) as remote:
        with kas.pushes.watch(31) as watch:
            await remote.git_push(GitPushEvent(project_id=31, full_path="ops/fleet"))
            assert await watch.wait(5)
        (agent,) = await remote.connected_agents(agent_id=7)
        assert (agent.project_id, agent.pod_name, agent.connection_id) == (31, "agentk-1", 5)
        assert await remote.connected_agents(project_id=99) == []
        with pytest.raises(RpcError) as caught:
            await remote.connected_agents()
        assert caught.value.code is StatusCode.INVALID_ARGUMENT


async def test_a_kas_that_comes_back_is_told_again():
    first, second = Kas(), Kas()
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
        async with told(port) as remote:
            async with serving(first, sockets=(bound.dup(),)):
                assert await remote.connected_agents(agent_id=7) == []
            await second.tracker.register(AGENT)
            async with serving(second, sockets=(bound.dup(),)):
                assert len(await remote.connected_agents(agent_id=7)) == 1


async def test_a_kas_that_is_away_costs_a_push_nothing():
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    async with told(port) as remote, asyncio.timeout(1):
        for project_id in range(1, 50):
            await remote.git_push(GitPushEvent(project_id=project_id, full_path="a/b"))
        with pytest.raises(RpcError, match="cannot be reached"):
            await remote.connected_agents(agent_id=7)


async def test_a_kas_that_says_nothing_is_waited_for_no_longer_than_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with told(silent.getsockname()[1]) as remote, asyncio.timeout(CALL_TIMEOUT_S + 2):
            with pytest.raises(RpcError) as caught:
                await remote.connected_agents(agent_id=7)
            assert caught.value.code is StatusCode.DEADLINE_EXCEEDED


async def test_our_hub_tells_a_kas_of_somebody_else():
    heard: asyncio.Queue[tuple[object, str]] = asyncio.Queue()

    async def answer(request, context):
        heard.put_nowait((request, dict(context.invocation_metadata())["authorization"]))
        return GIT_PUSH_EVENT.response()

    handler = grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=GIT_PUSH_EVENT.request.FromString,
        response_serializer=GIT_PUSH_EVENT.response.SerializeToString,
    )
    service, _, method = GIT_PUSH_EVENT.path.strip("/").partition("/")
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with told(port) as remote, asyncio.timeout(10):
        for _ in range(2):
            await remote.git_push(GitPushEvent(project_id=31, full_path="ops/fleet"))
            request, authorization = await heard.get()
            assert request == PUSH
            claims = authorization.removeprefix("bearer ").split(".")[1]
            assert b'"aud":"gitlab-kas"' in base64.urlsafe_b64decode(claims + "==")
    await server.stop(None)
