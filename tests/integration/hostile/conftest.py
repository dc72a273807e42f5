"""A whole kas among hostile peers, and somebody beside them who must not notice."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from kasbah.kas.app import Kas, KasSettings
from kasbah.kas.http_server.router import PROXY_PREFIX
from kasbah.kas.http_server.server import Listen, make_tls_context
from kasbah.kas.http_server.settings import HttpServerSettings
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kas.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.kit.local_ca import LocalCertificates, ensure_local_ca
from tests.doubles.fake_hub import SECRET, FakeHub, agent_info, json_answer, proxy_user
from tests.doubles.grpc_agent import GrpcAgent, Tunnel, serving
from tests.doubles.hostile_grpc import Face

FACES: tuple[Face, ...] = ("plain", "tls", "websocket", "secure websocket")
BYSTANDER = 1
"""The well-behaved agent; the others are whoever a test likes."""
QUICK = ReverseTunnelSettings(greeting_timeout_s=1.0, token_check_interval_s=60, drain_timeout_s=1)


def token_of(agent_id: int) -> str:
    return f"glagent-{agent_id}"


@dataclass
class Agents(FakeHub):
    """Any number of agents: the token of each holds its id.

    Attributes:
        revoked: whose tokens are good no longer.
    """

    revoked: set[int] = field(default_factory=set)

    async def _answer(self, route: str, request: httpx2.Request) -> httpx2.Response:
        said = request.headers.get("authorization", "")
        number = said.removeprefix("Bearer glagent-")
        if number.isdigit() and int(number) in self.revoked:
            return json_answer(401, {"message": "401 Unauthorized"})
        if route == "agent_info" and number.isdigit():
            return json_answer(200, agent_info(agent_id=int(number), agent_name=f"agent-{number}"))
        if route == "authorize_proxy_user":
            asked = msgspec.json.decode(await request.aread())["agent_id"]
            return json_answer(200, proxy_user(agent={"id": asked, "config_project": {"id": 31}}))
        if number.isdigit():
            request.headers["authorization"] = f"Bearer {self.token}"
        return await super()._answer(route, request)


@dataclass
class Answer:
    status: int
    head: bytes
    body: bytes


@dataclass
class Scene:
    """The kas, and what a test wants to know of it."""

    kas: Kas
    hub: Agents
    logs: list[Any] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.kas.addresses[0][1]

    def port_of(self, face: Face) -> int:
        return self.kas.addresses[1 if face in {"tls", "secure websocket"} else 0][1]

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """Those of agents, and of who might become one."""
        return len(self.kas._tunnels._connections)

    @property
    def strangers(self) -> int:
        return self.kas._server._strangers

    def tunnels(self, agent_id: int) -> int:
        """Idle ones."""
        return sum(len(pod._idle) for pod in self.kas._tunnels._registry._tunnels.get(agent_id, ()))

    async def ask(
        self, agent_id: int, line: bytes = b"GET /version", headers: bytes = b"", body: bytes = b""
    ) -> Answer:
        """As kubectl does, on a connection of its own; the answer as it is, up to the connection's end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request(agent_id, line, headers + b"Connection: close\r\n") + body)
            async with asyncio.timeout(20):
                raw = await reader.read()
        except ConnectionError:
            raw = b""
        finally:
            writer.transport.abort()
        head, _, said = raw.partition(b"\r\n\r\n")
        return Answer(int(head[9:12] or b"0"), head, said)


def request(agent_id: int, line: bytes = b"GET /version", headers: bytes = b"") -> bytes:
    """The head of a person's request to an agent."""
    method, _, path = line.partition(b" /")
    credential = b"pat:%d:glpat-good" % agent_id
    return b"%b %b%b HTTP/1.1\r\nHost: kas\r\nAuthorization: Bearer %b\r\n%b\r\n" % (
        method,
        PROXY_PREFIX,
        path,
        credential,
        headers,
    )


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> LocalCertificates:
    return ensure_local_ca(Path(tmp_path_factory.mktemp("ca")), ["127.0.0.1", "localhost"])


@contextlib.asynccontextmanager
async def kas_among_hostiles(
    certificates: LocalCertificates | None = None,
    settings: ReverseTunnelSettings = QUICK,
    *,
    http_server: HttpServerSettings | None = None,
    kubernetes_api: KubernetesApiSettings | None = None,
    **more: Any,
) -> AsyncIterator[Scene]:
    """A kas on a plain port and, with certificates, on a TLS port."""

    async def nothing(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    listens = [Listen(host="127.0.0.1", port=0)]
    if certificates is not None:
        tls = make_tls_context(str(certificates.certificate), str(certificates.key))
        listens.append(Listen(host="127.0.0.1", port=0, tls=tls))
    hub = Agents()
    made = KasSettings(
        version="test",
        listens=listens,
        reverse_tunnel=settings,
        http_server=http_server or HttpServerSettings(head_timeout_s=1),
        kubernetes_api=kubernetes_api or KubernetesApiSettings(agent_wait_s=3),
    )
    async with hub.client() as hub_http:
        kas = Kas(replace(made, **more), hub_http, SECRET, nothing)
        stop, ready = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(kas.run(stop, ready.set))
            await ready.wait()
            try:
                yield Scene(kas, hub)
            finally:
                running.cancel()


@dataclass
class Bystander:
    """Asks all the while.

    Attributes:
        took: seconds of each answer.
        wrong: what was not the agent's answer.
    """

    took: list[float] = field(default_factory=list)
    wrong: list[Answer] = field(default_factory=list)

    @property
    def slowest(self) -> float:
        return max(self.took)


@contextlib.asynccontextmanager
async def bystander(scene: Scene, *, patience_s: float = 2.0) -> AsyncIterator[Bystander]:
    """Somebody asks a well-behaved agent all the while, and is answered soon; checked at the end."""

    async def answer(tunnel: Tunnel) -> None:
        await tunnel.answer(b"well")

    it, enough = Bystander(), asyncio.Event()

    async def ask_on() -> None:
        while not enough.is_set():
            began = time.monotonic()
            got = await scene.ask(BYSTANDER)
            it.took.append(time.monotonic() - began)
            if (got.status, got.body) != (200, b"4\r\nwell\r\n0\r\n\r\n"):
                it.wrong.append(got)
            await asyncio.sleep(0.02)

    async with GrpcAgent(scene.target, token=token_of(BYSTANDER)) as agent, serving(agent, answer):
        assert (await scene.ask(BYSTANDER)).status == 200
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ask_on())
            try:
                yield it
            finally:
                enough.set()
    assert it.took
    assert not it.wrong
    assert it.slowest < patience_s
