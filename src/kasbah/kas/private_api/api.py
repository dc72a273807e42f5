"""The private API as a whole: what kas composes when it is one of several."""

from __future__ import annotations

import asyncio
import time

from kasbah.kas.private_api.gateway import Gateway
from kasbah.kas.private_api.jwt import ReplicaJwt
from kasbah.kas.private_api.publisher import RoutePublisher
from kasbah.kas.private_api.replicas import Replicas
from kasbah.kas.private_api.router import TunnelRouter
from kasbah.kas.private_api.routes import AgentRoutes
from kasbah.kas.private_api.settings import PrivateApiSettings
from kasbah.kas.reverse_tunnel.registry import TunnelRegistry


class PrivateApi:
    """Both directions: our requests to agents of others, and theirs to ours.

    Attributes:
        registry: where this kas' tunnels belong: its agents are published.
        tunnels: the way to every agent, for the proxy.
        server: to be run and drained with kas' other servers.
        publisher: what tells the others.
    """

    def __init__(self, settings: PrivateApiSettings, routes: AgentRoutes) -> None:
        proof = ReplicaJwt(settings.secret, time.time)
        self.publisher = RoutePublisher(routes, settings.own_url)
        self.registry = TunnelRegistry(self.publisher)
        self._replicas = Replicas(settings, proof)
        self.tunnels = TunnelRouter(settings, self.registry, routes, self._replicas)
        self._gateway = Gateway(settings, proof, self.registry)
        self.server = self._gateway.server

    async def run(self) -> None:
        """Until cancelled; then close what is open and withdraw what was published."""
        async with asyncio.TaskGroup() as tasks:
            for part in (self.publisher, self._replicas, self.tunnels, self._gateway):
                tasks.create_task(part.run(), name=type(part).__name__)

    def drain(self) -> None:
        """Let the others go elsewhere; what runs goes on."""
        self.publisher.drain()
        self._gateway.drain()
