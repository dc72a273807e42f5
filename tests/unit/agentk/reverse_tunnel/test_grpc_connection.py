"""A gRPC connection as agentk sees it; kas is an engine in memory."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.agentk.reverse_tunnel import grpc_connection
from kasbah.agentk.reverse_tunnel.address import parse_kas_address
from kasbah.agentk.reverse_tunnel.grpc_connection import GrpcKasConnection
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.errors import PeerError
from kasbah.kit.secrets import Secret
from kasbah.wire.grpc.engine import GrpcRole
from kasbah.wire.grpc.limits import GrpcLimits
from kasbah.wire.kubernetes_api import decode_opening
from kasbah.wire.methods import CONNECT, KUBERNETES_API_MAKE_REQUEST, REGISTER
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import HttpRequest as RequestHead
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import (
    ConnectRequest,
    ConnectResponse,
    Message,
    RequestInfo,
)
from kasbah.wire.rpc import Call, RpcError, StatusCode
from kasbah.wire.stream import StreamKind
from tests.doubles.fake_transport import FakeTransport
from tests.doubles.grpc_pair import GrpcEnd, RecordingCallHandler
from tests.doubles.tunnel_pair import RecordingHandler

AUTHORIZATION = ("authorization", "Bearer glagent-t")


class Dialogue:
    """A connection, and kas at its other end."""

    def __init__(
        self,
        address: str = "grpc://kas:8150",
        headers: tuple[tuple[str, str], ...] = (),
        limits: GrpcLimits | None = None,
    ) -> None:
        settings = ReverseTunnelSettings(address=parse_kas_address(address), headers=headers)
        self.peer = grpc_connection.peer(settings, Secret("glagent-t"), "gitlab-agent/v1/kasbah")
        self.transport, self.kas = FakeTransport(), GrpcEnd(GrpcRole.SERVER, limits=limits)
        self.accepted: list[tuple[StreamKind, bytes]] = []
        self.connection = GrpcKasConnection(self.transport, self.peer, self._accept, lambda: 0)

    def _accept(self, kind, opening, stream) -> RecordingHandler:
        self.accepted.append((kind, opening))
        return RecordingHandler(stream)

    async def talk(self) -> Dialogue:
        for _ in range(4):
            await asyncio.sleep(0)
            self.kas.engine.receive(self.transport.take())
            if data := self.kas.engine.take(1 << 20):
                self.connection.data_received(data)
        return self

    def tunnels(self) -> list[tuple[Call, RecordingCallHandler]]:
        return [(call, handler) for path, _, call, handler in self.kas.opened if path == CONNECT.path]

    async def request(self, path: str, *messages: HttpRequest) -> RecordingCallHandler:
        """A call through the first tunnel; what kas hears in it."""
        call, handler = self.tunnels()[0]
        for response in (
            ConnectResponse(request_info=RequestInfo(method_name=path)),
            *(ConnectResponse(message=Message(data=said.SerializeToString())) for said in messages),
        ):
            call.send(response.SerializeToString())
        await self.talk()
        return handler


@pytest.mark.asyncio
async def test_a_kas_that_speaks_http_2_admits_and_gets_two_tunnels():
    dialogue = Dialogue()
    assert not dialogue.connection.state.is_admitted
    await dialogue.talk()
    await dialogue.connection.state.admission()
    assert (len(dialogue.tunnels()), dialogue.connection.tunnels) == (2, 2)


@pytest.mark.asyncio
async def test_whoever_speaks_something_else_is_refused():
    dialogue = Dialogue()
    dialogue.connection.data_received(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert dialogue.transport.closed
    dialogue.connection.connection_lost(None)
    with pytest.raises(PeerError):
        await dialogue.connection.state.admission()


@pytest.mark.asyncio
async def test_every_call_carries_the_token_and_the_headers_in_lower_case():
    dialogue = await Dialogue(headers=(("X-Canary", "1"),)).talk()
    dialogue.connection.open_call(REGISTER.path, RecordingCallHandler())
    await dialogue.talk()
    assert [path for path, *_ in dialogue.kas.opened] == [CONNECT.path, CONNECT.path, REGISTER.path]
    for _, metadata, _, _ in dialogue.kas.opened:
        assert {AUTHORIZATION, ("x-canary", "1"), ("user-agent", "gitlab-agent/v1/kasbah")} <= set(metadata)


def test_in_a_websocket_the_handshake_had_the_headers():
    headers = (("X-Canary", "1"),)
    assert made_peer("wss://kas/x", headers).headers == ()
    assert made_peer("wss://kas/x", headers).websocket
    assert made_peer("grpcs://kas", headers).scheme == "https"


def test_the_token_is_not_printed():
    assert "glagent-t" not in repr(made_peer("grpc://kas", ()))


def made_peer(address: str, headers: tuple[tuple[str, str], ...]) -> grpc_connection.GrpcPeer:
    settings = ReverseTunnelSettings(address=parse_kas_address(address), headers=headers)
    return grpc_connection.peer(settings, Secret("glagent-t"), "test")


@pytest.mark.asyncio
async def test_a_request_reaches_the_acceptor_and_names_no_agent():
    dialogue = await Dialogue().talk()
    head = HttpRequest.Header(request=RequestHead(method="GET", url_path="/version"), content_length=0)
    await dialogue.request(KUBERNETES_API_MAKE_REQUEST.path, HttpRequest(header=head))
    [(kind, opening)] = dialogue.accepted
    envelope, request = decode_opening(opening)
    assert (kind, envelope.agent_id) == (StreamKind.KUBERNETES_API, 0)
    assert request.startswith(b"GET /version HTTP/1.1\r\n")
    assert dialogue.connection.tunnels == 12


@pytest.mark.asyncio
async def test_a_method_that_agentk_does_not_serve_is_said_so():
    dialogue = await Dialogue().talk()
    heard = await dialogue.request("/some.Other/Method")
    last = ConnectRequest.FromString(heard.messages()[-1])
    assert last.error.status.code == StatusCode.UNIMPLEMENTED
    assert not dialogue.accepted


@pytest.mark.asyncio
async def test_an_answer_to_a_call_makes_the_connection_ready():
    dialogue = await Dialogue().talk()
    assert not dialogue.connection.is_ready
    dialogue.connection.open_call(REGISTER.path, RecordingCallHandler())
    await dialogue.talk()
    _, _, call, _ = dialogue.kas.opened[-1]
    call.send(b"")
    call.end()
    await dialogue.talk()
    assert dialogue.connection.is_ready


@pytest.mark.asyncio
async def test_a_refused_call_does_not():
    dialogue = await Dialogue().talk()
    handler = RecordingCallHandler()
    dialogue.connection.open_call(REGISTER.path, handler)
    await dialogue.talk()
    dialogue.kas.opened[-1][2].fail(StatusCode.UNAUTHENTICATED, "unauthenticated")
    await dialogue.talk()
    assert (handler.code, dialogue.connection.is_ready) == (StatusCode.UNAUTHENTICATED, False)


@pytest.mark.asyncio
async def test_a_kas_that_drains_is_left_and_idle_tunnels_are_its_to_end():
    dialogue = await Dialogue().talk()
    dialogue.kas.engine.go_away("age")
    await dialogue.talk()
    connection = dialogue.connection
    assert (connection.state.leaving.is_set(), connection.state.closed.is_set()) == (True, False)
    assert connection.tunnels == 2
    for call, _ in dialogue.tunnels():
        call.end()
    await dialogue.talk()
    await asyncio.sleep(0)
    assert (connection.tunnels, dialogue.transport.closed, connection.failure) == (0, True, "")


@pytest.mark.asyncio
async def test_a_request_that_kas_was_handing_out_when_we_drained_is_served():
    dialogue = await Dialogue().talk()
    head = HttpRequest.Header(request=RequestHead(method="POST", url_path="/version"), content_length=0)
    dialogue.connection.drain()
    heard = await dialogue.request(KUBERNETES_API_MAKE_REQUEST.path, HttpRequest(header=head))
    assert len(dialogue.accepted) == 1
    assert heard.words() == ["message"]  # of what it serves
    dialogue.connection.tick(asyncio.get_running_loop().time() + 1)
    assert dialogue.connection.tunnels == 2


@pytest.mark.asyncio
async def test_our_own_drain_ends_tunnels_that_kas_left_idle_and_waits_for_what_runs():
    dialogue = await Dialogue().talk()
    head = HttpRequest.Header(request=RequestHead(method="GET", url_path="/version"), content_length=0)
    await dialogue.request(KUBERNETES_API_MAKE_REQUEST.path, HttpRequest(header=head))
    dialogue.connection.drain()
    await dialogue.talk()
    assert dialogue.connection.tunnels > 1
    dialogue.connection.tick(asyncio.get_running_loop().time() + 3)
    await dialogue.talk()
    assert (dialogue.connection.tunnels, dialogue.transport.closed) == (1, False)
    with pytest.raises(RpcError):
        dialogue.connection.open_call(REGISTER.path, RecordingCallHandler())
    dialogue.tunnels()[0][0].fail(StatusCode.CANCELLED)
    await dialogue.talk()
    await asyncio.sleep(0)
    assert (dialogue.connection.tunnels, dialogue.transport.closed) == (0, True)


@pytest.mark.asyncio
async def test_a_connection_that_breaks_is_no_refusal_of_its_tunnels():
    dialogue = await Dialogue().talk()
    dialogue.connection.connection_lost(ConnectionResetError("reset"))
    assert dialogue.connection.state.closed.is_set()
    assert dialogue.connection.tunnels == 0
    assert dialogue.connection.pool._complaint == ""


@pytest.mark.asyncio
async def test_a_proxy_that_takes_few_streams_leaves_room_for_the_modules():
    dialogue = await Dialogue(limits=GrpcLimits(max_calls=9)).talk()
    assert dialogue.connection.tunnels == 1
    for _ in range(8):
        dialogue.connection.open_call(REGISTER.path, RecordingCallHandler())
    with pytest.raises(RpcError):
        dialogue.connection.open_call(REGISTER.path, RecordingCallHandler())
