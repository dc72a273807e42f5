"""The whole agentk before a kas whose gRPC is Google's, on every transport that GitLab's agentk has."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs
from websockets import Subprotocol

from kasbah.kube.access import ClusterAccess
from kasbah.wire.identity import AsUser
from kasbah.wire.pb.gitlab.agent.agent_configuration.rpc.rpc_pb2 import ConfigurationResponse
from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest
from kasbah.wire.rpc import StatusCode
from tests.doubles.certificates import make_certificates
from tests.doubles.grpc_kas import Answer, GrpcKas
from tests.doubles.loopback_server import read_head, serving
from tests.doubles.running_agentk import TOKEN, agentk, api_server, until


def watch(kas: GrpcKas) -> HttpRequest:
    return kas.send("GET", "/api/v1/pods", query={"watch": "true"})


def configuration(commit_id: str) -> ConfigurationResponse:
    return ConfigurationResponse(commit_id=commit_id, configuration=AgentConfiguration(agent_id=7))


# -- what GitLab's kas counts on ---------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_pod_registers_and_has_two_idle_tunnels_then_eleven_and_one():
    async with GrpcKas().serving() as kas, api_server() as api:
        async with agentk(f"grpc://127.0.0.1:{kas.port}", api, "--kas-header=X-Canary: 1") as running:
            await until(lambda: len(kas.tunnels) == 2 and kas.registered)
            metadata, registration = kas.registered[0]
            assert metadata["authorization"] == f"Bearer {TOKEN}"
            assert metadata["x-canary"] == "1"
            assert metadata["user-agent"].startswith("gitlab-agent/v")
            assert registration.agent_meta.pod_name == "agentk-0"
            assert registration.agent_meta.kubernetes_version.git_version == "v1.36.3"
            await until(lambda: not running.why_not_ready)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(kas.ask(watch(kas)))
                await until(lambda: len(kas.idle) == 11)
                assert len(kas.tunnels) == 12
                await api.more.put(None)
            await until(lambda: len(kas.idle) == 12)
            assert all(each["authorization"] == f"Bearer {TOKEN}" for each in kas.connect_metadata)
        assert [each.pod_id for each in kas.unregistered] == [registration.pod_id]


@pytest.mark.asyncio
async def test_a_request_without_a_body_has_none_at_the_api_server():
    async with GrpcKas().serving() as kas, api_server() as api, agentk(f"grpc://127.0.0.1:{kas.port}", api):
        await until(lambda: kas.idle)
        got = await kas.ask(kas.send("POST", "/api/v1/x", headers={"X-Test": "1"}, content_length=0))
    assert (got.status, got.error) == (200, None)
    assert "transfer-encoding" not in api.heads[0].lower()
    assert "X-Test: 1\r\n" in api.heads[0]


@pytest.mark.asyncio
async def test_a_request_is_made_as_whom_kas_says():
    async with GrpcKas().serving() as kas, api_server() as api, agentk(f"grpc://127.0.0.1:{kas.port}", api):
        await until(lambda: kas.idle)
        await kas.ask(kas.send("GET", "/api", impersonate="gitlab:user:bob"))
    assert "Impersonate-User: gitlab:user:bob\r\n" in api.heads[0]


@pytest.mark.asyncio
async def test_whom_a_client_names_acts_where_kas_names_nobody():
    async with GrpcKas().serving() as kas, api_server() as api, agentk(f"grpc://127.0.0.1:{kas.port}", api):
        await until(lambda: kas.idle)
        named = {"Impersonate-User": "alice", "Impersonate-Group": "g", "Impersonate-Extra-a.b%2fc": "d"}
        assert (await kas.ask(kas.send("GET", "/api", headers=named))).error is None
        await until(lambda: kas.idle)
        got = await kas.ask(kas.send("GET", "/api", headers=named, impersonate="bob"))
    assert len(api.heads) == 1
    assert api.heads[0].endswith(
        "Impersonate-User: alice\r\nImpersonate-Group: g\r\nImpersonate-Extra-a.b%2Fc: d\r\n\r\n"
    )
    assert got.error is not None
    assert got.error[0] == StatusCode.UNAVAILABLE
    assert "nested impersonation is not supported" in got.error[1]


@pytest.mark.asyncio
async def test_nested_impersonation_is_refused():
    async with GrpcKas().serving() as kas, api_server() as api:
        access = ClusterAccess(host="127.0.0.1", port=api.port, identity=AsUser(username="root"))
        async with agentk(f"grpc://127.0.0.1:{kas.port}", api, access=access):
            await until(lambda: kas.idle)
            got = await kas.ask(kas.send("GET", "/api", impersonate="bob"))
    assert got.error is not None
    assert got.error[0] == StatusCode.UNAVAILABLE
    assert "nested impersonation is not supported" in got.error[1]
    assert not api.heads


@pytest.mark.asyncio
async def test_a_signal_lets_a_watch_go_on_and_opens_no_tunnel():
    async with (
        GrpcKas().serving() as kas,
        api_server() as api,
        agentk(f"grpc://127.0.0.1:{kas.port}", api) as running,
    ):
        await until(lambda: kas.idle)
        seen = Answer()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(kas.ask(watch(kas), seen))
            await api.more.put(b"one")
            await until(lambda: seen.body == b"one")
            running.stop.set()
            await until(lambda: len(kas.tunnels) == 1)
            await api.more.put(b"two")
            await until(lambda: seen.body == b"onetwo")
            await until(lambda: kas.unregistered)
            assert (len(kas.tunnels), len(kas.unregistered), running.task.done()) == (1, 1, False)
            await api.more.put(None)
        await until(running.task.done, 3)
        assert (seen.ended, seen.error) == (True, None)


@pytest.mark.asyncio
async def test_a_configuration_call_that_ends_is_made_again_at_once_with_the_last_commit():
    async with GrpcKas().serving() as kas, api_server() as api:
        kas.configuration = configuration("abc")
        async with agentk(f"grpc://127.0.0.1:{kas.port}", api):
            await until(lambda: kas.asked)
            await asyncio.sleep(0.1)
            kas.end_configuration_calls()
            assert await until(lambda: len(kas.asked) == 2) < 0.1
    assert kas.asked == ["", "abc"]


@pytest.mark.asyncio
async def test_tunnels_that_kas_ends_are_opened_again():
    async with GrpcKas().serving() as kas, api_server() as api, agentk(f"grpc://127.0.0.1:{kas.port}", api):
        await until(lambda: len(kas.connect_metadata) == 2)
        await asyncio.sleep(1.5)
        kas.end_tunnels()
        assert await until(lambda: len(kas.connect_metadata) == 4) < 0.5
        await until(lambda: len(kas.idle) == 2)


@pytest.mark.asyncio
async def test_an_unknown_token_is_said_once_with_what_to_do_and_never_shown():
    kas = GrpcKas()
    kas.refusal = (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated")
    with capture_logs() as logs:
        async with kas.serving(), api_server() as api, agentk(f"grpc://127.0.0.1:{kas.port}", api) as running:
            await until(lambda: kas.refused_tunnels >= 4)
            assert running.why_not_ready
    warnings = [log for log in logs if log["log_level"] == "warning"]
    tunnels = [log for log in warnings if log["event"] == "kas refuses tunnels"]
    assert len(tunnels) == 1
    assert tunnels[0]["error"] == "unauthenticated"
    assert "token" in tunnels[0]["hint"]
    assert all("unauthenticated" in str(log) for log in warnings)
    assert TOKEN not in str(logs)


@pytest.mark.asyncio
async def test_a_kas_that_goes_is_a_line_an_attempt_and_found_again():
    kas = GrpcKas()
    with capture_logs() as logs:
        async with api_server() as api, contextlib.AsyncExitStack() as first_life:
            await first_life.enter_async_context(kas.serving())
            async with agentk(f"grpc://127.0.0.1:{kas.port}", api) as running:
                await until(lambda: len(kas.idle) == 2 and not running.why_not_ready)
                await first_life.aclose()
                await until(lambda: running.why_not_ready)
                async with kas.serving():
                    await until(lambda: len(kas.idle) == 2 and not running.why_not_ready)
                    assert (await kas.ask(kas.send("GET", "/api"))).status == 200
    events = [log["event"] for log in logs if log["log_level"] == "warning"]
    assert set(events) == {"attempt failed"}
    assert len(events) < 20  # and none for each of its tunnels and calls


# -- the ways to kas ---------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("flags", "offered"),
    [((), ["kasbah.v1", "ws-tunnel"]), (("--kas-tunnel=grpc",), ["ws-tunnel"])],
)
async def test_in_a_websocket_kas_chooses_gitlabs_tunnel(flags: tuple[str, ...], offered: list[str]):
    async with (
        GrpcKas().serving() as kas,
        api_server() as api,
        kas.in_websockets([Subprotocol("ws-tunnel")]) as (port, handshakes),
    ):
        address = f"ws://127.0.0.1:{port}/-/kubernetes-agent/"
        async with agentk(address, api, "--kas-header=X-Canary: 1", *flags):
            await until(lambda: kas.idle)
            got = await kas.ask(kas.send("GET", "/api"))
        request = handshakes[0].request
    assert got.status == 200
    assert request is not None
    assert request.headers["Sec-WebSocket-Protocol"] == ", ".join(offered)
    assert request.headers["X-Canary"] == "1"
    assert TOKEN not in str(request.headers)
    assert "x-canary" not in kas.connect_metadata[0]


@pytest.mark.asyncio
async def test_a_far_end_that_chooses_no_tunnel_is_said_with_what_to_check():
    with capture_logs() as logs:
        async with (
            GrpcKas().serving() as kas,
            api_server() as api,
            kas.in_websockets(None) as (port, _),
            agentk(f"ws://127.0.0.1:{port}/", api),
        ):
            await until(lambda: [log for log in logs if "no subprotocol" in str(log)])
    assert [log for log in logs if "check that --kas-address leads to kas" in str(log.get("error"))]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    certificates = make_certificates()
    (tmp_path / "ca.crt").write_bytes(certificates.ca_pem)
    (tmp_path / "own.crt").write_bytes(certificates.client_pem)
    (tmp_path / "own.key").write_bytes(certificates.client_key_pem)
    return tmp_path


def credentials(*, mutual: bool) -> grpc.ServerCredentials:
    made = make_certificates()
    key = made.server_pem[made.server_pem.index(b"-----BEGIN PRIVATE") :]
    return grpc.ssl_server_credentials(
        [(key, made.server_pem)],
        root_certificates=made.ca_pem if mutual else None,
        require_client_auth=mutual,
    )


@pytest.mark.asyncio
async def test_grpcs_with_an_own_authority(files: Path):
    async with (
        GrpcKas().serving(credentials=credentials(mutual=False)) as kas,
        api_server() as api,
        agentk(f"grpcs://127.0.0.1:{kas.port}", api, f"--kas-ca-cert-file={files}/ca.crt"),
    ):
        await until(lambda: kas.idle)
        assert (await kas.ask(kas.send("GET", "/api"))).status == 200


@pytest.mark.asyncio
async def test_grpcs_with_a_client_certificate_and_another_name_over_ipv6(files: Path):
    async with (
        GrpcKas().serving("[::1]", credentials(mutual=True)) as kas,
        api_server() as api,
        agentk(
            f"grpcs://[::1]:{kas.port}",
            api,
            f"--kas-ca-cert-file={files}/ca.crt",
            "--kas-tls-server-name=kubernetes.test",
            f"--kas-client-cert-file={files}/own.crt",
            f"--kas-client-key-file={files}/own.key",
        ),
    ):
        await until(lambda: kas.idle)
        assert (await kas.ask(kas.send("GET", "/api"))).status == 200


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ((), "is not trusted: .*--kas-ca-cert-file"),
        (("--kas-tls-server-name=other.test",), "is not trusted: "),
    ],
)
async def test_a_kas_that_cannot_be_trusted_gets_no_token(
    files: Path, flags: tuple[str, ...], complaint: str
):
    if flags:
        flags = (*flags, f"--kas-ca-cert-file={files}/ca.crt")
    with capture_logs() as logs:
        async with (
            GrpcKas().serving(credentials=credentials(mutual=False)) as kas,
            api_server() as api,
            agentk(f"grpcs://127.0.0.1:{kas.port}", api, *flags),
        ):
            await until(lambda: [log for log in logs if log["event"] == "attempt failed"])
    assert re.search(complaint, str(logs))
    assert not kas.connect_metadata


@pytest.mark.asyncio
async def test_wss_with_gitlabs_tunnel(files: Path):
    (files / "server.pem").write_bytes(make_certificates().server_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files / "server.pem")
    async with (
        GrpcKas().serving() as kas,
        api_server() as api,
        kas.in_websockets([Subprotocol("ws-tunnel")], context) as (port, _),
        agentk(f"wss://127.0.0.1:{port}/", api, f"--kas-ca-cert-file={files}/ca.crt"),
    ):
        await until(lambda: kas.idle)
        assert (await kas.ask(kas.send("GET", "/api"))).status == 200


@pytest.mark.asyncio
@pytest.mark.parametrize("scheme", ["grpc", "grpcs", "ws"])
async def test_a_proxy_is_asked_whatever_the_scheme(files: Path, scheme: str):
    asked: list[str] = []

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await read_head(reader)).decode())
        port = int(asked[-1].split()[1].partition(":")[2])
        up, down = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(carry(reader, down))
            tasks.create_task(carry(up, writer))

    async with (
        GrpcKas().serving(credentials=credentials(mutual=False) if scheme == "grpcs" else None) as kas,
        kas.in_websockets([Subprotocol("ws-tunnel")]) as (websocket_port, _),
        api_server() as api,
        serving(connect) as proxy,
    ):
        port = websocket_port if scheme == "ws" else kas.port
        url = f"http://me:pw@127.0.0.1:{proxy.port}"
        flags = (f"--kas-ca-cert-file={files}/ca.crt", "--kas-tls-server-name=kubernetes.test")
        async with agentk(f"{scheme}://kas.test:{port}", api, *flags, HTTP_PROXY=url, HTTPS_PROXY=url):
            await until(lambda: kas.idle)
            assert (await kas.ask(kas.send("GET", "/api"))).status == 200
    assert asked[0].startswith(f"CONNECT kas.test:{port} HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic bWU6cHc=\r\n" in asked[0]


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()
