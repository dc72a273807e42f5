"""Our programs as a person starts them: two ways through kas and agentk to the same API server.

`kasbah up` and an agentk on the native tunnel; beside them a kas of its own, as it runs next to a GitLab, and an agentk
that speaks GitLab's gRPC to it. Both kas ask the same hub.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from bench import hub
from bench.errors import BenchError
from bench.processes import answers
from bench.route import Route
from sandbox import ports
from sandbox.processes import Processes

NATIVE = "kas + agentk, native"
GRPC = "kas + agentk, gRPC"
ROOT = str(Path(__file__).resolve().parents[1])
_PROGRAMS = Path(sys.executable).parent
_PREFIX = "/-/kubernetes-agent"
_KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: bench, cluster: {{server: "{server}"}}}}]
users: [{{name: bench, user: {{}}}}]
contexts: [{{name: bench, context: {{cluster: bench, user: bench}}}}]
current-context: bench
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The running programs: each route's first process is a kas, its second an agentk."""

    native: Route
    """hub and kas are one process."""
    grpc: Route
    """kas alone."""

    @property
    def routes(self) -> list[Route]:
        return [self.native, self.grpc]


def start(processes: Processes, api_server: str) -> Stack:
    """Start everything in front of this API server and wait until requests pass on both ways."""
    http, https, grpc, agents, proxy = ports.free(5)
    data = processes.directory / "kasbah"
    up_pid = _start_up(processes, data, {"http": http, "https": https, "grpc": grpc})
    base = f"http://127.0.0.1:{http}"
    token = (data / "root-token").read_text().strip()
    try:
        one, other = hub.register(base, token, processes.directory / "checkout", ["native", "grpc"])
    except BenchError as error:
        raise BenchError(f"{error}\nthe last words of kasbah:\n{processes.last_words('kasbah')}") from error
    kas_pid = _start_kas(processes, base, data / "kas-secret", agents=agents, proxy=proxy)
    native_address = f"ws://127.0.0.1:{http}{_PREFIX}/"
    stack = Stack(
        native=Route(
            name=NATIVE,
            base=f"{base}{_PREFIX}/k8s-proxy",
            pids=[up_pid, _start_agent(processes, "agentk", native_address, one.token, api_server)],
            headers={"Authorization": f"Bearer pat:{one.id}:{token}"},
        ),
        grpc=Route(
            name=GRPC,
            base=f"http://127.0.0.1:{proxy}",
            pids=[
                kas_pid,
                _start_agent(processes, "agentk-grpc", f"grpc://127.0.0.1:{agents}", other.token, api_server),
            ],
            headers={"Authorization": f"Bearer pat:{other.id}:{token}"},
        ),
    )
    for route, programs in zip(stack.routes, (["kasbah", "agentk"], ["kas", "agentk-grpc"]), strict=True):
        processes.wait_until(route.passes, f"request passed {route.name}", timeout_s=30, expecting=programs)
    return stack


def _start_up(processes: Processes, data: Path, addresses: dict[str, int]) -> int:
    words = [word for flag, port in addresses.items() for word in (f"--{flag}", f"127.0.0.1:{port}")]
    pid = processes.start("kasbah", [_PROGRAMS / "kasbah", "up", "--data", data, *words])
    processes.wait_until(
        lambda: (data / "root-token").exists() and answers(addresses["http"]),
        "kasbah up",
        timeout_s=30,
        expecting=["kasbah"],
    )
    return pid


def _start_kas(processes: Processes, hub_url: str, secret: Path, *, agents: int, proxy: int) -> int:
    configuration = {
        "gitlab": {"address": hub_url, "authentication_secret_file": str(secret)},
        "agent": {
            "listen": {"address": f"127.0.0.1:{agents}"},
            "kubernetes_api": {"listen": {"address": f"127.0.0.1:{proxy}"}},
        },
        "observability": {"listen": {"address": f"127.0.0.1:{ports.free(1)[0]}"}},
    }
    file = processes.directory / "kas.yaml"
    file.write_text(json.dumps(configuration))
    pid = processes.start("kas", [_PROGRAMS / "kas", f"--configuration-file={file}"])
    processes.wait_until(lambda: answers(agents), "kas", timeout_s=30, expecting=["kas"])
    return pid


def _start_agent(processes: Processes, name: str, address: str, token: str, api_server: str) -> int:
    token_file = processes.directory / f"{name}-token"
    token_file.write_text(token)
    token_file.chmod(0o600)
    kubeconfig = processes.directory / "kubeconfig"
    kubeconfig.write_text(_KUBECONFIG.format(server=api_server))
    options = [f"--kas-address={address}", f"--token-file={token_file}", f"--kubeconfig={kubeconfig}"]
    return processes.start(name, [_PROGRAMS / "agentk", *options])


def describe() -> str:
    """The machine, as far as figures depend on it."""
    model = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), ""
    )
    name = model.partition(":")[2].strip() or "unknown processor"
    return f"{os.cpu_count()} cores of {name}, Python {sys.version.split()[0]}, everything on loopback"
