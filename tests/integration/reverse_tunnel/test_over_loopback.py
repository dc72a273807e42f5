"""Both shells of the native tunnel over real sockets: kas' public server on one side, agentk's dialling on the other."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kasbah.agentk.reverse_tunnel.address import parse_kas_address
from kasbah.agentk.reverse_tunnel.module import ReverseTunnel
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.kas.http_server.exchange import NullExchange
from kasbah.kas.http_server.router import Router
from kasbah.kas.http_server.server import HttpServer, Listen, make_tls_context
from kasbah.kas.hub_client.errors import HubUnauthenticatedError
from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.reverse_tunnel.registry import TunnelRegistry
from kasbah.kas.reverse_tunnel.server import ReverseTunnelServer
from kasbah.kas.reverse_tunnel.settings import ReverseTunnelSettings as KasSettings
from kasbah.kit.http_proxy import ProxySettings
from kasbah.kit.local_ca import LocalCertificates, ensure_local_ca
from kasbah.kit.secrets import Secret
from kasbah.wire.methods import REGISTER
from kasbah.wire.stream import ResetCode, Stream, StreamClass, StreamHandler, StreamKind
from kasbah.wire.websocket import WebSocketReceiver, binary_header

GOOD = "glagent-good"
SETTINGS = KasSettings(greeting_timeout_s=0.5, token_check_interval_s=0.1, drain_timeout_s=5)


@dataclass
class Hub:
    """Knows one token, until it is revoked."""

    tokens: set[str] = field(default_factory=lambda: {GOOD})

    async def agent_info(self, token: Secret, *, fresh: bool = False) -> AgentInfo:
        if token.reveal() not in self.tokens:
            raise HubUnauthenticatedError("401 Unauthorized")
        return AgentInfo(
            agent_id=7, project_id=1, agent_name="prod", project_path="ops/fleet", default_branch="main"
        )


@dataclass(frozen=True)
class Grant:
    agent_id: int = 7


class Echo:
    """agentk's handler of a stream: says the opening as its head, and everything back."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def head_received(self, head: bytes) -> None: ...

    def data_received(self, data: bytes) -> None:
        self.stream.send(data)
        self.stream.consumed(len(data))

    def ended(self) -> None:
        self.stream.end()

    def reset(self, code: int, message: str) -> None: ...

    def writable(self) -> None: ...


def echo(kind: StreamKind, opening: bytes, stream: Stream) -> StreamHandler:
    stream.send_head(opening)
    return Echo(stream)


class Answer:
    """kas' side of one stream: the future holds (head, bytes received) or the reset code."""

    def __init__(self) -> None:
        self.over: asyncio.Future[tuple[bytes, int] | int] = asyncio.get_running_loop().create_future()
        self.stream: Stream | None = None
        self.head = b""
        self.received = 0

    def head_received(self, head: bytes) -> None:
        self.head = head

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if self.stream is not None:
            self.stream.consumed(len(data))

    def ended(self) -> None:
        self.over.set_result((self.head, self.received))

    def reset(self, code: int, message: str) -> None:
        self.over.set_result(code)

    def writable(self) -> None: ...


class Arrival:
    """Waits for a tunnel and leaves it to others."""

    def __init__(self) -> None:
        self.seen = asyncio.Event()

    def tunnel_ready(self) -> None:
        self.seen.set()


class Kas:
    """The public server with nothing but tunnels on it."""

    def __init__(self, hub: Hub, certificates: LocalCertificates | None = None, port: int = 0) -> None:
        async def register(_call, _request):
            return REGISTER.response()

        self.registry = TunnelRegistry()
        self.tunnels = ReverseTunnelServer(
            hub,  # type: ignore[arg-type]  # the one method that is used
            self.registry,
            [(REGISTER, register)],
            version="test",
            settings=SETTINGS,
        )

        def nothing(_head, client):
            client.abort()
            return NullExchange()

        tls = make_tls_context(str(certificates.certificate), str(certificates.key)) if certificates else None
        router = Router(proxy=nothing, agent_upgrade=self.tunnels.accept, application=nothing)
        self.server = HttpServer([Listen(host="127.0.0.1", port=port, tls=tls)], router)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Kas]:
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self.tunnels.run()), tasks.create_task(self.server.run(ready.set))]
            await ready.wait()
            try:
                yield self
            finally:
                for task in running:
                    task.cancel()

    @property
    def port(self) -> int:
        return self.server.addresses[0][1]

    async def has_agent(self, timeout_s: float) -> bool:
        """Whether the agent connects within the time."""
        arrival = Arrival()
        self.registry.wait(7, arrival)
        self.registry.ready(7)
        try:
            async with asyncio.timeout(timeout_s):
                await arrival.seen.wait()
        except TimeoutError:
            return False
        return True

    def ask(self, body: bytes = b"") -> Answer:
        answer = Answer()
        stream = self.registry.open_nowait(Grant(), b"opening", StreamClass.SMALL, answer)
        assert stream is not None
        answer.stream = stream
        stream.send(body)
        stream.end()
        return answer


@contextlib.asynccontextmanager
async def agent(
    address: str, token: str = GOOD, acceptor: Callable[..., StreamHandler] = echo, **settings: object
) -> AsyncIterator[ReverseTunnel]:
    tunnel = ReverseTunnel(
        ReverseTunnelSettings(address=parse_kas_address(address), **settings),  # type: ignore[arg-type]
        Secret(token),
        acceptor,
        user_agent="test",
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(tunnel.run())
        try:
            yield tunnel
        finally:
            running.cancel()


@pytest.mark.asyncio
async def test_a_request_goes_through_and_calls_are_answered():
    async with Kas(Hub()).running() as kas, agent(f"ws://127.0.0.1:{kas.port}/-/kubernetes-agent/") as tunnel:
        assert await kas.has_agent(5)
        assert await kas.ask(b"x" * 3_000_000).over == (b"opening", 3_000_000)
        assert await tunnel.rpc.unary(REGISTER, REGISTER.request()) == REGISTER.response()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> LocalCertificates:
    return ensure_local_ca(tmp_path_factory.mktemp("ca"), ["127.0.0.1", "localhost"])


@pytest.mark.asyncio
async def test_tls_is_verified_by_the_given_authority(certificates: LocalCertificates):
    async with Kas(Hub(), certificates).running() as kas:
        address = f"wss://localhost:{kas.port}/-/kubernetes-agent/"
        async with agent(address, ca_file=certificates.ca_certificate):
            assert await kas.has_agent(5)
            assert await kas.ask(b"x" * 300_000).over == (b"opening", 300_000)


@pytest.mark.asyncio
async def test_a_certificate_of_an_unknown_authority_is_refused(certificates: LocalCertificates):
    async with (
        Kas(Hub(), certificates).running() as kas,
        agent(f"wss://localhost:{kas.port}/-/kubernetes-agent/"),
    ):
        assert not await kas.has_agent(0.5)


@pytest.mark.asyncio
async def test_a_token_nobody_knows_opens_nothing():
    async with (
        Kas(Hub()).running() as kas,
        agent(f"ws://127.0.0.1:{kas.port}/-/kubernetes-agent/", "glagent-unknown") as tunnel,
    ):
        assert not await kas.has_agent(0.5)
        assert not tunnel.is_ready


@pytest.mark.asyncio
async def test_a_revoked_token_cuts_what_runs():
    hub = Hub()
    async with Kas(hub).running() as kas, agent(f"ws://127.0.0.1:{kas.port}/-/kubernetes-agent/"):
        assert await kas.has_agent(5)
        answer = Answer()
        kas.registry.open_nowait(Grant(), b"watch", StreamClass.WATCH, answer)
        hub.tokens.clear()
        async with asyncio.timeout(5):
            assert await answer.over == ResetCode.CONNECTION_LOST
        assert kas.registry.count(7) == 0


@pytest.mark.asyncio
async def test_an_agent_dials_again_when_kas_comes_back():
    async with Kas(Hub()).running() as first:
        port = first.port
        async with agent(f"ws://127.0.0.1:{port}/-/kubernetes-agent/") as tunnel:
            assert await first.has_agent(5)
            first.server._cut_all()
            for connection in list(first.tunnels._connections):
                connection._transport.abort()
            async with asyncio.timeout(5):
                while first.registry.count(7) == 0 or not tunnel.is_ready:  # noqa: ASYNC110 - real sockets, no event to wait for
                    await asyncio.sleep(0.01)
            assert await first.ask(b"again").over == (b"opening", 5)


@pytest.mark.asyncio
async def test_draining_lets_what_runs_finish():
    async with Kas(Hub()).running() as kas, agent(f"ws://127.0.0.1:{kas.port}/-/kubernetes-agent/"):
        assert await kas.has_agent(5)
        answer = Answer()
        stream = kas.registry.open_nowait(Grant(), b"slow", StreamClass.SMALL, answer)
        assert stream is not None
        async with asyncio.TaskGroup() as tasks:
            drain = tasks.create_task(kas.tunnels.drain())
            await asyncio.sleep(0.1)
            assert not drain.done()
            stream.end()
            assert await answer.over == (b"slow", 0)


@pytest.mark.asyncio
async def test_two_pods_share_the_work():
    async with Kas(Hub()).running() as kas:
        address = f"ws://127.0.0.1:{kas.port}/-/kubernetes-agent/"
        async with agent(address), agent(address):
            async with asyncio.timeout(5):
                while kas.registry.count(7) < 2:  # noqa: ASYNC110 - real sockets, no event to wait for
                    await asyncio.sleep(0.01)
            streams = [
                kas.registry.open_nowait(Grant(), b"watch", StreamClass.WATCH, Answer()) for _ in range(10)
            ]
            assert sorted(stream.stream_id for stream in streams if stream) == sorted([2, 4, 6, 8, 10] * 2)


@pytest.mark.asyncio
async def test_a_proxy_is_asked_to_connect(certificates: LocalCertificates):
    seen: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        port = int(head.split(b" ")[1].rpartition(b":")[2])
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(pipe(reader, up_writer))
                tasks.create_task(pipe(up_reader, writer))

    async def pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        target.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    proxy_port = server.sockets[0].getsockname()[1]
    proxies = ProxySettings(https_proxy=Secret(f"http://user:pass@127.0.0.1:{proxy_port}"))
    async with (
        server,
        Kas(Hub(), certificates).running() as kas,
        agent(
            f"wss://kas.test:{kas.port}/-/kubernetes-agent/",
            ca_file=certificates.ca_certificate,
            tls_server_name="localhost",
            proxy=proxies,
        ),
    ):
        assert await kas.has_agent(5)
        assert await kas.ask(b"x" * 100_000).over == (b"opening", 100_000)
    assert seen[0].startswith(b"CONNECT kas.test:")
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n" in seen[0]


HANDSHAKE = (
    b"GET /-/kubernetes-agent/ HTTP/1.1\r\nHost: kas\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


async def dialogue(port: int, sent: bytes) -> bytes:
    """Send, then read until kas closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("more", "status"),
    [
        (b"Sec-WebSocket-Version: 12\r\n\r\n", b"HTTP/1.1 400"),
        (b"Sec-WebSocket-Version: 13\r\nOrigin: https://evil\r\n\r\n", b"HTTP/1.1 400"),
        (b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n", b"HTTP/1.1 400"),
        (b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: other\r\n\r\n", b"HTTP/1.1 101"),
    ],
)
async def test_a_bad_handshake_is_refused(more: bytes, status: bytes):
    async with Kas(Hub()).running() as kas:
        answer = await dialogue(kas.port, HANDSHAKE + more)
    assert answer.startswith(status)
    if status.endswith(b"101"):
        receiver = WebSocketReceiver(unmask=None)
        receiver.receive(answer.partition(b"\r\n\r\n")[2])
        assert receiver.closed


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(b"", id="silence"),
        pytest.param(b"\x00" * 8, id="half a frame"),
        pytest.param(b"\xff" * 64, id="garbage"),
        pytest.param(b"\0\0\0\0\xff\xff\x01\x00" + bytes(8) + b"x" * 65535, id="a greeting of 64 KiB"),
    ],
)
async def test_whoever_does_not_greet_is_gone_in_the_greeting_time(frames: bytes):
    message = binary_header(len(frames), masked=True) + frames if frames else b""
    handshake = HANDSHAKE + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: kasbah.v1\r\n\r\n"
    async with Kas(Hub()).running() as kas:
        answer = await dialogue(kas.port, handshake + message)
        assert answer.startswith(b"HTTP/1.1 101")
        assert kas.registry.count(7) == 0
        assert not kas.tunnels._connections


def test_a_missing_ca_file_is_said(tmp_path: Path):
    from kasbah.agentk.reverse_tunnel.tls import tls_context
    from kasbah.errors import UserError

    settings = ReverseTunnelSettings(address=parse_kas_address("wss://kas/"), ca_file=tmp_path / "none.crt")
    with pytest.raises(UserError, match=r"none\.crt"):
        tls_context(settings)
