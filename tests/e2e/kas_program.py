"""kas as a program of its own, beside the hub of a `kasbah up`, alone or one of several."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import grpc

from kasbah.kit import shared_secret
from kasbah.wire.methods import GET_CONNECTED_AGENTS
from kasbah.wire.pb.gitlab.agent.agent_tracker.agent_tracker_pb2 import ConnectedAgentInfo
from kasbah.wire.pb.gitlab.agent.agent_tracker.rpc.rpc_pb2 import GetConnectedAgentsRequest
from tests.doubles.forged_jwts import signed
from tests.e2e.world import Program, World, free_port

PATH_PREFIX = "/k8s-proxy/"


class KasProgram(Program):
    """Agents without TLS on one port, kubectl with TLS on another; the hub's secret for whoever asks or tells."""

    def __init__(self, world: World, name: str, directory: Path, *, api: int = 0, **sections: Any) -> None:
        """`api` is the port for whoever asks and tells; `sections` are more of the configuration file."""
        self.agents, self.kubernetes_api, self.observability = (free_port() for _ in range(3))
        self.api = api or free_port()
        self._world = world
        self.file = directory / f"{name}.yaml"
        self.file.write_text(json.dumps(self._configuration() | sections))
        argv = [sys.executable, "-m", "kasbah.kas", f"--configuration-file={self.file}"]
        super().__init__(name, argv, directory, world.environment)

    def _configuration(self) -> dict[str, Any]:
        data = self._world.data
        grace = {"listen_grace_period": "0.1s"}
        tls = {"certificate_file": str(data / "tls.crt"), "key_file": str(data / "tls.key")}
        secret = {"authentication_secret_file": str(data / "kas-secret")}
        return {
            "gitlab": {"address": self._world.https, "ca_certificate_file": str(self._world.ca_file)}
            | secret,
            "agent": {
                "listen": {"address": f"127.0.0.1:{self.agents}"} | grace,
                "kubernetes_api": {
                    "listen": {"address": f"127.0.0.1:{self.kubernetes_api}"} | tls | grace,
                    "url_path_prefix": PATH_PREFIX,
                },
            },
            "api": {"listen": {"address": f"127.0.0.1:{self.api}"} | secret | grace},
            "observability": {"listen": {"address": f"127.0.0.1:{self.observability}"}},
        }

    @property
    def world(self) -> World:
        """As kubectl sees it through this kas."""
        return self._world.through(f"https://127.0.0.1:{self.kubernetes_api}{PATH_PREFIX}")

    @property
    def metrics(self) -> str:
        return f"http://127.0.0.1:{self.observability}/metrics"

    def connected_agents(self, agent_id: int) -> list[ConnectedAgentInfo]:
        """What it tells the Git side, asked with grpcio."""
        secret = shared_secret.decode(shared_secret.read(self._world.data / "kas-secret"))
        token = signed({"aud": "gitlab-kas", "iss": "e2e", "exp": int(time.time()) + 60}, secret)
        with grpc.insecure_channel(f"127.0.0.1:{self.api}") as channel:
            ask = channel.unary_unary(
                GET_CONNECTED_AGENTS.path,
                request_serializer=GET_CONNECTED_AGENTS.request.SerializeToString,
                response_deserializer=GET_CONNECTED_AGENTS.response.FromString,
            )
            request, metadata = (
                GetConnectedAgentsRequest(agent_id=agent_id),
                [("authorization", f"bearer {token}")],
            )
            return list(ask(request, timeout=10, metadata=metadata).agents)
