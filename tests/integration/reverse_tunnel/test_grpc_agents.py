"""Agents that speak GitLab's wire, played by Google's gRPC, against a whole kas."""

from __future__ import annotations

import asyncio
import ssl

import grpc.aio
import httpx2
import pytest

from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kas.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.kit.local_ca import LocalCertificates, ensure_local_ca
from kasbah.wire.methods import CONNECT, GET_CONFIGURATION, REGISTER
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import ConnectRequest, Error, Header
from tests.doubles.fake_hub import json_answer
from tests.doubles.grpc_agent import DESCRIPTOR, TOKEN, GrpcAgent, Tunnel, bearer, serving, status_of
from tests.doubles.loopback_agent import until

EXEC = b"GET /api/v1/namespaces/a/pods/b/exec?command=sh"
SPDY = b"Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
WATCH = b"GET /api/v1/pods?watch=1"
NO_DESCRIPTORS = {
    "nothing": ConnectRequest(),
    "a header": ConnectRequest(header=Header()),
    "an error": ConnectRequest(error=Error(status={"code": 13})),
    "an empty descriptor": ConnectRequest(descriptor={}),
    "a thousand services": ConnectRequest(
        descriptor={"agent_descriptor": {"services": [{"name": f"s{n}"} for n in range(1000)]}}
    ),
}
WEBSOCKET = (
    b"GET /-/kubernetes-agent/ HTTP/1.1\r\nHost: kas\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: ws-tunnel\r\n\r\n"
)


async def idle(agent: GrpcAgent, world) -> Tunnel:
    """A tunnel that kas has put among the idle ones."""
    tunnel = await agent.connect()
    await until(lambda: any(pod.can_open for pod in world.registry._tunnels.get(7, ())))
    return tunnel


# -- who may call


@pytest.mark.asyncio
async def test_a_call_with_a_good_token_is_answered(world_with):
    async with world_with() as world, GrpcAgent(world.target) as agent:
        assert await agent.call(REGISTER, REGISTER.request(pod_id=5)) == REGISTER.response()
        lower = (("authorization", f"bearer {TOKEN}"),)
        assert await agent.call(REGISTER, REGISTER.request(pod_id=5), metadata=lower) == REGISTER.response()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", "Bearer "),),
        (("authorization", TOKEN),),
        (("authorization", f"Basic {TOKEN}"),),
        bearer() + bearer(),
        bearer() + bearer("glagent-other"),
        bearer("glagent-unknown"),
    ],
)
async def test_who_shows_no_good_token_is_unauthenticated(world_with, metadata):
    async with world_with() as world, GrpcAgent(world.target) as agent:
        call = agent.call(REGISTER, REGISTER.request(), metadata=metadata)
        assert await status_of(call) == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated")
        assert world.registry.count(7) == 0


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (403, (grpc.StatusCode.PERMISSION_DENIED, "forbidden")),
        (404, (grpc.StatusCode.NOT_FOUND, "agent not found")),
        (418, (grpc.StatusCode.UNAVAILABLE, "unavailable")),
    ],
)
async def test_what_the_git_side_says_of_a_token_becomes_a_status(world_with, answer, status):
    async with world_with() as world, GrpcAgent(world.target) as agent:
        world.hub.answer_with("agent_info", json_answer(answer, {"message": "no"}))
        assert await status_of(agent.call(REGISTER, REGISTER.request(pod_id=5))) == status


@pytest.mark.asyncio
async def test_a_call_that_streams_waits_for_a_git_side_that_is_away(world_with):
    async with world_with() as world, GrpcAgent(world.target) as agent:
        world.hub.answer_with("agent_info", *[json_answer(418, {}) for _ in range(3)])
        await idle(agent, world)


@pytest.mark.asyncio
async def test_a_method_nobody_knows_is_unimplemented(world_with):
    async with world_with() as world, GrpcAgent(world.target) as agent:
        call = agent.channel.unary_unary("/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest")
        code, _ = await status_of(call(b"", metadata=bearer()))
        assert code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.asyncio
async def test_a_compressed_request_is_taken_and_the_answer_is_compressed_too(world_with):
    async with (
        world_with() as world,
        GrpcAgent(world.target, compression=grpc.Compression.Gzip) as agent,
    ):
        world.hub.files[".gitlab/agents/prod-eu/config.yaml"] = b"# padding\n" * 1000
        call = agent.call(GET_CONFIGURATION, GET_CONFIGURATION.request(skip_register=True))
        async with asyncio.timeout(5):
            assert (await call.read()).configuration.agent_id == 7
            head = dict(await call.initial_metadata())
        call.cancel()
        assert head.get("grpc-encoding", "gzip") == "gzip"


# -- what goes through a tunnel


@pytest.mark.asyncio
async def test_a_request_goes_through_a_tunnel(world_with):
    async def answer(tunnel: Tunnel) -> None:
        body = await tunnel.body()
        await tunnel.answer(tunnel.request.request.url_path.encode() + body)

    async with world_with() as world, GrpcAgent(world.target) as agent, serving(agent, answer):
        for _ in range(5):
            got = await world.get(b"GET /version")
            assert (got.status, got.body) == (200, b"/version")
        got = await world.get(b"POST /api/v1/pods", b"Content-Length: 100000\r\n", b"x" * 100_000)
        assert got.body == b"/api/v1/pods" + b"x" * 100_000


@pytest.mark.asyncio
async def test_an_agent_learns_nothing_of_who_asks_but_their_trace(world_with):
    async with world_with() as world, GrpcAgent(world.target) as agent, world.person() as person:
        tunnel = await idle(agent, world)
        person.ask(headers=b"X-Secret: s\r\nCookie: c\r\n")
        request = await tunnel.accept()
        said = str(request).lower()
        assert set(tunnel.meta) <= {"traceparent", "tracestate"}
        for secret in ("glpat", "authorization", "cookie", "impersonate", TOKEN):
            assert secret not in said
        await tunnel.answer()
        assert (await person.answer()).status == 200


@pytest.mark.asyncio
async def test_the_events_of_a_watch_are_seen_at_once(world_with):
    async with world_with() as world, GrpcAgent(world.target) as agent, world.person() as person:
        tunnel = await idle(agent, world)
        person.ask(WATCH)
        await tunnel.accept()
        await tunnel.say_head(200, content_type="application/json")
        assert b" 200 " in await person.head()
        for event in (b"one\n", b"two\n"):
            await tunnel.say_data(event)
            assert await person.chunk() == event


@pytest.mark.asyncio
async def test_a_person_who_leaves_cancels_what_the_agent_works_on(world_with):
    async with world_with() as world, GrpcAgent(world.target) as agent:
        async with world.person() as person:
            tunnel = await idle(agent, world)
            person.ask(WATCH)
            await tunnel.accept()
        assert (await status_of(tunnel.call))[0] is grpc.StatusCode.CANCELLED


@pytest.mark.asyncio
async def test_an_exec_carries_bytes_both_ways(world_with):
    async with world_with() as world, GrpcAgent(world.target) as agent, world.person() as person:
        tunnel = await idle(agent, world)
        person.ask(b"POST" + EXEC[3:], SPDY)
        await tunnel.accept()
        assert await tunnel.next() == HttpRequest(trailer=HttpRequest.Trailer())
        await tunnel.say_head(101, upgrade="SPDY/3.1", connection="Upgrade")
        await tunnel.say_trailer()
        assert b" 101 " in await person.head()
        person.writer.write(b"ls\n")
        said = await tunnel.next()
        assert said is not None
        assert said.upgradeData.data == b"ls\n"
        await tunnel.say_upgraded(b"file\n")
        async with asyncio.timeout(5):
            assert await person.reader.readexactly(5) == b"file\n"
        await tunnel.end()
        async with asyncio.timeout(5):
            assert await person.reader.read() == b""


@pytest.mark.asyncio
async def test_an_upgrade_that_is_refused_ends(world_with):
    async with world_with() as world, GrpcAgent(world.target) as agent, world.person() as person:
        tunnel = await idle(agent, world)
        person.ask(b"POST" + EXEC[3:], SPDY)
        await tunnel.accept()
        await tunnel.next()
        await tunnel.say_head(403, content_type="application/json")
        async with asyncio.timeout(5):
            assert await tunnel.next() is None  # kas half-closes: nothing of the client's counts any more
        await tunnel.say_data(b"no")
        await tunnel.say_trailer()
        await tunnel.end()
        answer = await person.answer()
        assert (answer.status, answer.body) == (403, b"no")


@pytest.mark.asyncio
async def test_an_error_before_the_head_is_a_502(world_with):
    async with world_with() as world, GrpcAgent(world.target) as agent, world.person() as person:
        tunnel = await idle(agent, world)
        person.ask()
        await tunnel.accept()
        error = Error(status={"code": 14, "message": "gRPC -> HTTP: connection refused"})
        await tunnel.call.write(ConnectRequest(error=error))
        await tunnel.call.done_writing()
        answer = await person.answer()
        assert answer.status == 502
        assert b"connection refused" in answer.body
        assert (await status_of(tunnel.call))[0] is grpc.StatusCode.OK


# -- tunnels are few


@pytest.mark.asyncio
async def test_who_finds_all_tunnels_busy_waits_for_the_next_in_turn(world_with):
    async with world_with() as world, GrpcAgent(world.target) as agent:
        first = await idle(agent, world)
        async with world.person() as one, world.person() as two, world.person() as three:
            one.ask(WATCH)
            await first.accept()
            two.ask(b"GET /two")
            await until(lambda: len(world.registry._waiters.get(7, ())) == 1)
            three.ask(b"GET /three")
            await until(lambda: len(world.registry._waiters.get(7, ())) == 2)
            for path, person in (("/two", two), ("/three", three)):
                tunnel = await agent.connect()
                assert (await tunnel.accept()).request.url_path == path
                await tunnel.answer()
                assert (await person.answer()).status == 200


@pytest.mark.asyncio
async def test_an_agent_that_is_busy_is_told_from_one_that_is_not_there(world_with):
    brief = KubernetesApiSettings(agent_wait_s=0.2, outage_s=0)
    async with world_with(kubernetes_api=brief) as world, GrpcAgent(world.target) as agent:
        away = await world.get()
        assert (away.status, b"Agent connection not found" in away.body) == (502, True)
        tunnel = await idle(agent, world)
        async with world.person() as person:
            person.ask(WATCH)
            await tunnel.accept()
            busy = await world.get()
        assert (busy.status, b"all tunnels of the agent are busy" in busy.body) == (503, True)
        assert b"Retry-After: 1\r\n" in busy.head


@pytest.mark.asyncio
async def test_tunnels_of_one_pod_are_counted(world_with):
    few = ReverseTunnelSettings(max_tunnels_per_pod=3)
    async with world_with(few) as world, GrpcAgent(world.target) as agent:
        for _ in range(3):
            await idle(agent, world)
        assert (await status_of(agent.call(CONNECT)))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.asyncio
async def test_pods_of_one_agent_are_counted(world_with):
    few = ReverseTunnelSettings(max_pods_per_agent=1)
    async with world_with(few) as world, GrpcAgent(world.target) as agent, GrpcAgent(world.target) as other:
        await idle(agent, world)
        assert (await status_of(other.call(CONNECT)))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.asyncio
async def test_two_thousand_tunnels_opened_and_dropped_leave_nothing(world_with):
    async with world_with() as world:
        before = len(asyncio.all_tasks())
        for _ in range(4):  # fewer a connection than would be an attack
            async with GrpcAgent(world.target) as agent:
                for _ in range(5):
                    tunnels = [await agent.connect() for _ in range(100)]
                    for tunnel in tunnels:
                        tunnel.call.cancel()
                (connection,) = world.kas._tunnels._connections
                await until(lambda at=connection: at.engine.call_count == 0)
                (pod,) = world.registry._tunnels[7]
                assert (pod._calls, pod._idle, pod._active) == ({}, {}, set())
                del tunnels, tunnel, connection, pod  # grpcio's channel lives as long as a call of it
            await until(lambda: world.connections == 0)
        assert world.registry._tunnels == world.registry._waiters == {}
        await until(lambda: len(asyncio.all_tasks()) <= before)


# -- tunnels that are not what they should be


@pytest.mark.asyncio
@pytest.mark.parametrize("first", NO_DESCRIPTORS.values(), ids=NO_DESCRIPTORS.keys())
async def test_a_tunnel_begins_with_a_descriptor_that_makes_sense(world_with, first):
    async with world_with() as world, GrpcAgent(world.target) as agent:
        call = (await agent.connect(first)).call
        assert (await status_of(call))[0] is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.asyncio
async def test_a_tunnel_to_something_else_is_never_used(world_with):
    brief = KubernetesApiSettings(agent_wait_s=0.2, outage_s=0)
    async with world_with(kubernetes_api=brief) as world, GrpcAgent(world.target) as agent:
        services = [{"name": "other.Service", "methods": [{"name": "MakeRequest"}]}]
        await agent.connect(ConnectRequest(descriptor={"agent_descriptor": {"services": services}}))
        assert (await world.get()).status == 502


@pytest.mark.asyncio
async def test_an_answer_out_of_order_costs_one_request(world_with):
    async def broken(tunnel: Tunnel) -> None:
        await tunnel.say_data(b"no head before")
        await status_of(tunnel.call)

    async with world_with() as world, GrpcAgent(world.target) as agent, serving(agent, broken):
        for _ in range(3):
            assert (await world.get()).status == 502


@pytest.mark.asyncio
async def test_words_after_the_end_reach_nobody(world_with):
    async with world_with() as world, GrpcAgent(world.target) as agent, world.person() as person:
        tunnel = await idle(agent, world)
        person.ask()
        await tunnel.accept()
        await tunnel.say_head(200)
        await tunnel.say_data(b"whole")
        await tunnel.say_trailer()
        await tunnel.say_data(b"more")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await person.answer()  # torn, so that nobody takes it for a whole one
        assert (await status_of(tunnel.call))[0] is not grpc.StatusCode.OK
        tunnel = await idle(agent, world)
        async with world.person() as other:
            other.ask()
            await tunnel.accept()
            await tunnel.answer(b"theirs")
            assert (await other.answer()).body == b"theirs"


@pytest.mark.asyncio
async def test_an_agents_metadata_reach_nobody(world_with):
    async with world_with() as world, GrpcAgent(world.target) as agent, world.person() as person:
        metadata = (*bearer(), ("impersonate-user", "admin"), ("gitlab-agent-id", "8"), ("x-bin", b"\0"))
        tunnel = Tunnel(agent.call(CONNECT, metadata=metadata))
        await tunnel.call.write(DESCRIPTOR)
        person.ask()
        await tunnel.accept()
        evil = {"impersonate-user": Values(value=["admin"]), "authorization": Values(value=["Bearer x"])}
        await tunnel.call.write(ConnectRequest(header=Header(meta=evil)))
        tunnel.said_header = True
        await tunnel.answer()
        answer = await person.answer()
        assert (answer.status, b"admin" in answer.head, b"Bearer" in answer.head) == (200, False, False)


@pytest.mark.asyncio
async def test_an_agent_that_never_answers_is_given_up(world_with):
    impatient = KubernetesApiSettings(head_timeout_s=0)
    async with world_with(kubernetes_api=impatient) as world, GrpcAgent(world.target) as agent:
        tunnel = await idle(agent, world)
        assert (await world.get()).status == 504
        assert (await status_of(tunnel.call))[0] is grpc.StatusCode.CANCELLED


@pytest.mark.asyncio
async def test_an_agent_that_does_not_read_costs_its_own_tunnels_only(world_with):
    async with world_with() as world, GrpcAgent(world.target) as stuck, GrpcAgent(world.target) as agent:
        mute = await idle(stuck, world)
        async with world.person() as person:
            person.ask(b"POST /api/v1/pods", b"Content-Length: 8000000\r\n", b"x" * 8_000_000)
            await mute.accept()

            async def answer(tunnel: Tunnel) -> None:
                await tunnel.answer()

            async with serving(agent, answer):
                assert (await world.get()).status == 200


# -- tokens and time


@pytest.mark.asyncio
async def test_a_token_that_is_revoked_ends_its_calls_and_the_connection(world_with):
    async with world_with() as world, GrpcAgent(world.target) as agent, world.person() as person:
        busy = await idle(agent, world)
        person.ask(WATCH)
        await busy.accept()
        await busy.say_head(200)
        await person.head()
        waiting = await idle(agent, world)
        configuration = agent.call(GET_CONFIGURATION, GET_CONFIGURATION.request(skip_register=True))
        await configuration.read()
        world.hub.token = "glagent-new"
        for call in (waiting.call, busy.call, configuration):
            assert await status_of(call) == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated")
        async with asyncio.timeout(5):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError, ValueError)):
                await person.answer()
        await until(lambda: world.connections == 0)
        assert world.registry.count(7) == 0


@pytest.mark.asyncio
async def test_a_connection_that_is_old_ends_what_waits_and_lets_the_rest_finish(world_with):
    old = ReverseTunnelSettings(max_connection_age_s=1, connection_age_grace_s=60)
    async with world_with(old) as world, GrpcAgent(world.target) as agent, world.person() as person:
        busy = await idle(agent, world)
        person.ask(WATCH)
        await busy.accept()
        await busy.say_head(200)
        await person.head()
        waiting = await idle(agent, world)
        configuration = agent.call(GET_CONFIGURATION, GET_CONFIGURATION.request(skip_register=True))
        await configuration.read()
        for call in (waiting.call, configuration):
            assert (await status_of(call))[0] is grpc.StatusCode.OK
        await busy.say_data(b"still here")
        assert await person.chunk() == b"still here"
        again = await idle(agent, world)
        assert world.connections == 2
        await busy.say_trailer()
        await busy.end()
        await until(lambda: world.connections == 1)
        again.call.cancel()


@pytest.mark.asyncio
async def test_a_connection_whose_grace_is_over_is_cut(world_with):
    old = ReverseTunnelSettings(max_connection_age_s=0.5, connection_age_grace_s=1)
    async with world_with(old) as world, GrpcAgent(world.target) as agent, world.person() as person:
        busy = await idle(agent, world)
        person.ask(WATCH)
        await busy.accept()
        assert (await status_of(busy.call))[0] is not grpc.StatusCode.OK
        assert (await person.answer()).status == 503


@pytest.mark.asyncio
async def test_a_drain_ends_what_waits_and_lets_what_runs_finish(world_with):
    async with world_with() as world, GrpcAgent(world.target) as agent, world.person() as person:
        busy = await idle(agent, world)
        person.ask()
        await busy.accept()
        waiting = await idle(agent, world)
        async with asyncio.TaskGroup() as tasks:
            drain = tasks.create_task(world.kas._tunnels.drain())
            assert (await status_of(waiting.call))[0] is grpc.StatusCode.OK
            assert not drain.done()
            await busy.answer(b"whole")
            assert (await person.answer()).body == b"whole"
            await until(lambda: world.connections == 0)


# -- who connects and says nothing


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "said",
    [
        b"PRI * HTTP/2.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
        WEBSOCKET,
    ],
)
async def test_who_begins_and_falls_silent_is_cut(world_with, said):
    async with world_with() as world, world.person() as person:
        person.writer.write(said)
        async with asyncio.timeout(5):
            await person.reader.read()
        await until(lambda: world.connections == 0)


@pytest.mark.asyncio
async def test_who_shows_nothing_but_bad_tokens_is_cut(world_with):
    async with world_with() as world, GrpcAgent(world.target) as agent:
        call = agent.call(REGISTER, REGISTER.request(), metadata=bearer("glagent-unknown"))
        await status_of(call)
        assert world.connections == 1
        await until(lambda: world.connections == 0)


@pytest.mark.asyncio
async def test_tokens_on_one_connection_are_counted(world_with):
    async with world_with() as world, GrpcAgent(world.target) as agent:
        codes = [
            (await status_of(agent.call(REGISTER, REGISTER.request(), metadata=bearer(f"glagent-{n}"))))[0]
            for n in range(5)
        ]
        assert codes == [grpc.StatusCode.UNAUTHENTICATED] * 4 + [grpc.StatusCode.RESOURCE_EXHAUSTED]
        assert len([r for r in world.hub.requests if r.url.path.endswith("agent_info")]) == 4


# -- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> LocalCertificates:
    return ensure_local_ca(tmp_path_factory.mktemp("ca"), ["127.0.0.1", "localhost"])


@pytest.mark.asyncio
async def test_grpc_and_https_share_a_port(world_with, certificates: LocalCertificates):
    async def answer(tunnel: Tunnel) -> None:
        await tunnel.answer(b"hello")

    authority = certificates.ca_certificate.read_bytes()
    credentials = grpc.ssl_channel_credentials(authority)
    trust = ssl.create_default_context(cafile=str(certificates.ca_certificate))
    trust.set_alpn_protocols(["h2", "http/1.1"])
    async with world_with(certificates=certificates) as world:
        async with (
            GrpcAgent(f"localhost:{world.port}", credentials=credentials) as agent,
            serving(agent, answer),
            httpx2.AsyncClient(verify=trust, base_url=f"https://localhost:{world.port}") as people,
        ):
            got = await people.get(
                "/-/kubernetes-agent/k8s-proxy/version",
                headers={"authorization": "Bearer pat:7:glpat-good"},
            )
            assert (got.status_code, got.http_version, got.content) == (200, "HTTP/1.1", b"hello")
        _, writer = await asyncio.open_connection("localhost", world.port, ssl=trust)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        writer.transport.abort()
