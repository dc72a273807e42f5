"""The ways from our agentk to our kas: a way is nothing but another address in agentk's command line."""

from __future__ import annotations

from dataclasses import dataclass

from tests.e2e.world import Program, World

AGENT_PATH = "/-/kubernetes-agent/"


@dataclass(frozen=True, slots=True)
class Way:
    """A scheme, a port of `kasbah up`, and a tunnel."""

    scheme: str
    port: str
    tunnel: str
    """What kas calls it."""
    flags: tuple[str, ...] = ()


WAYS = {
    "ws": Way("ws", "http", "native"),
    "wss": Way("wss", "https", "native"),
    "grpc": Way("grpc", "grpc", "grpc"),
    "grpcs": Way("grpcs", "https", "grpc"),
    "ws-tunnel": Way("ws", "http", "ws-tunnel", ("--kas-tunnel=grpc",)),
    "wss-tunnel": Way("wss", "https", "ws-tunnel", ("--kas-tunnel=grpc",)),
}
ONE_OF_EACH_ENGINE = ["ws", "grpc", "wss-tunnel"]


class Road:
    """The world while its agent takes one of the ways; its agentk is not started yet."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.way, self.name = world, WAYS[name], name
        self.agentk = world.agentk = self.pod(f"agentk-{name}", world.ports["probe"])

    def pod(self, name: str, probe_port: int, known_by: str = "agent-token") -> Program:
        """An agentk on this road."""
        way, flags = self.way, list(self.way.flags)
        if way.scheme in {"wss", "grpcs"}:
            flags.append(f"--kas-ca-cert-file={self.world.ca_file}")
        path = AGENT_PATH if way.scheme.startswith("ws") else ""
        address = f"{way.scheme}://127.0.0.1:{self.world.ports[way.port]}{path}"
        return self.world.new_agentk(name, probe_port, *flags, address=address, known_by=known_by)

    def logs(self) -> str:
        """What to look at when a test failed."""
        return f"kas:\n{self.world.up.tail()}\nagentk ({self.name}):\n{self.agentk.tail()}"
