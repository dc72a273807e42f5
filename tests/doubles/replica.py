"""One kas as other replicas see it: a registry, the private API on a loopback port, and the way to the others."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from kasbah.kas.http_server.server import Listen
from kasbah.kas.private_api.gateway import Gateway
from kasbah.kas.private_api.jwt import ReplicaJwt
from kasbah.kas.private_api.publisher import RoutePublisher
from kasbah.kas.private_api.replicas import Replicas
from kasbah.kas.private_api.router import TunnelRouter
from kasbah.kas.private_api.routes import AgentRoutes
from kasbah.kas.private_api.settings import PrivateApiSettings
from kasbah.kas.reverse_tunnel.registry import TunnelRegistry
from kasbah.kit.listening import Address, bound
from kasbah.kit.tasks import alongside
from kasbah.wire.identity import AsAgent
from kasbah.wire.kubernetes_api import RequestEnvelope, encode_envelope
from kasbah.wire.stream import StreamClass
from tests.doubles.near_agent import Asker, NearAgent

SECRET = b"s" * 32


@dataclass(frozen=True)
class Grant:
    agent_id: int = 7


def opening_for(agent_id: int, head: bytes = b"GET / HTTP/1.1\r\n\r\n") -> bytes:
    """What kas says first on a stream to this agent."""
    envelope = RequestEnvelope(agent_id=agent_id, grant_id="g", identity=AsAgent())
    return encode_envelope(envelope) + head


class Waiting:
    """A request in line: it asks again whenever it may."""

    def __init__(self, kas: ReplicaDouble, asker: Asker, agent_id: int) -> None:
        self.kas, self.asker, self.agent_id = kas, asker, agent_id

    def tunnel_ready(self) -> None:
        self.kas.try_to_open(self.asker, self.agent_id)


class ReplicaDouble:
    """Everything of a kas but its public side."""

    def __init__(
        self, routes: AgentRoutes, listen: Listen, url: str, secret: bytes = SECRET, **changes: object
    ) -> None:
        self.settings = replace(
            PrivateApiSettings(listens=[listen], own_url=url, secret=secret),
            **changes,  # type: ignore[arg-type]
        )
        proof = ReplicaJwt(secret, time.time)
        self.url = url
        self.publisher = RoutePublisher(routes, url)
        self.registry = TunnelRegistry(self.publisher)
        self.replicas = Replicas(self.settings, proof)
        self.router = TunnelRouter(self.settings, self.registry, routes, self.replicas)
        self.gateway = Gateway(self.settings, proof, self.registry)

    def connect(self, agent: NearAgent | None = None, agent_id: int = 7) -> NearAgent:
        """An agent is connected here."""
        agent = agent or NearAgent()
        self.registry.add(agent_id, agent.tunnel)
        return agent

    def disconnect(self, agent: NearAgent, agent_id: int = 7) -> None:
        """It is lost."""
        self.registry.remove(agent_id, agent.tunnel)
        agent.cut()

    def try_to_open(self, asker: Asker, agent_id: int = 7) -> None:
        """As an exchange does: open a stream, or stand in line."""
        stream = self.router.open_nowait(Grant(agent_id), opening_for(agent_id), StreamClass.SMALL, asker)
        if stream is None:
            self.router.wait(agent_id, Waiting(self, asker, agent_id))
        else:
            asker.stream = stream
            asker.may_go_on.set()

    async def ask(
        self, agent_id: int = 7, *, body: bytes = b"", slow: bool = False, end: bool = True
    ) -> Asker:
        """A request, from its first word until everything is said."""
        asker = Asker(slow=slow)
        self.try_to_open(asker, agent_id)
        await asker.may_go_on.wait()
        if body:
            await asker.say(body)
        if end and asker.stream is not None:
            asker.stream.end()
        return asker


@asynccontextmanager
async def replica(
    routes: AgentRoutes,
    *,
    secret: bytes = SECRET,
    server_tls: ssl.SSLContext | None = None,
    **changes: object,
) -> AsyncIterator[ReplicaDouble]:
    """A running one on a loopback port; the end of the block is its orderly end."""
    with bound(Address(host="127.0.0.1", port=0)) as taken:
        url = f"{'grpcs' if server_tls else 'grpc'}://{taken.address}"
        listen = Listen(host="127.0.0.1", port=taken.address.port, sockets=taken.sockets, tls=server_tls)
        async with serving(ReplicaDouble(routes, listen, url, secret, **changes)) as made:
            yield made


@asynccontextmanager
async def serving(made: ReplicaDouble) -> AsyncIterator[ReplicaDouble]:
    """Run it for the length of the block."""
    ready = asyncio.Event()
    parts = (
        made.publisher.run(),
        made.replicas.run(),
        made.router.run(),
        made.gateway.run(),
        made.gateway.server.run(ready.set),
    )
    async with alongside(*parts):
        await ready.wait()
        yield made
