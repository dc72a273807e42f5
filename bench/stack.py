"""Our programs as a person starts them: two ways through kas and agentk to the same API server.

`kasbah up` and an agentk on the native tunnel; beside them a kas of its own, as it runs next to a GitLab, and an agentk
that speaks GitLab's gRPC to it. Both kas ask the same hub.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import kasbah
from bench import hub
from bench.errors import BenchError
from bench.processes import answers
from bench.route import Route
from kasbah.kit.local_ca import ensure_local_ca
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
clusters: [{{name: bench, cluster: {{server: "{server}"{authority}}}}}]
users: [{{name: bench, user: {{}}}}]
contexts: [{{name: bench, context: {{cluster: bench, user: bench}}}}]
current-context: bench
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServer:
    """What agentk finds at the end of its way."""

    url: str
    authority: Path | None = None
    """Who signed its certificate, with https."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The running programs: each route's first process is a kas, its second an agentk."""

    api_server: str
    """The same upstream without us, and without TLS."""
    native: Route
    """hub and kas are one process."""
    grpc: Route
    """kas alone."""

    @property
    def routes(self) -> list[Route]:
        return [self.native, self.grpc]


@dataclass(slots=True, kw_only=True)
class LoneKas:
    """A kas of its own with an agentk on the native tunnel; either can be started again."""

    processes: Processes
    route: Route
    kas: Sequence[str | Path]
    agent: Sequence[str | Path]
    name: str = "lone-kas"
    agent_name: str = "lone-agentk"

    def start_kas(self) -> float:
        """When it was started."""
        began = time.monotonic()
        self.route.pids[0] = self.processes.start(self.name, self.kas)
        return began

    def restart_kas(self) -> float:
        """Kill it; when it was started again."""
        self.processes.stop(self.name, signal.SIGKILL)
        return self.start_kas()

    def restart_agent(self) -> float:
        """Stop it; when it was started again."""
        self.processes.stop(self.agent_name, signal.SIGTERM)
        began = time.monotonic()
        self.route.pids[1] = self.processes.start(self.agent_name, self.agent)
        return began


def start_stand_in(processes: Processes, port: int | None = None) -> tuple[str, ApiServer]:
    """The API server that watches and echoes; where it is without TLS, and with."""
    plain, secure = port or ports.free(1)[0], ports.free(1)[0]
    files = ensure_local_ca(processes.directory / "authority", ["127.0.0.1"])
    words: list[str | Path] = [sys.executable, "-m", "bench.api_server", str(plain), str(secure)]
    words += [files.certificate, files.key]
    processes.start("stand-in", words, environment={"PYTHONPATH": ROOT})
    processes.wait_until(
        lambda: answers(plain) and answers(secure), "API server", timeout_s=10, expecting=["stand-in"]
    )
    return f"http://127.0.0.1:{plain}", ApiServer(
        url=f"https://127.0.0.1:{secure}", authority=files.ca_certificate
    )


def start_before_stand_in(processes: Processes, port: int | None = None) -> Stack:
    """Everything in front of the API server that watches and echoes; agentk speaks TLS to it."""
    plain, secure = start_stand_in(processes, port)
    return start(processes, secure, direct=plain)


def start(processes: Processes, api_server: ApiServer, *, direct: str) -> Stack:
    """Start everything in front of this API server and wait until requests pass on both ways."""
    _compile()
    http, https, grpc, agents, proxy = ports.free(5)
    data = processes.directory / "kasbah"
    up_pid = _start_up(processes, data, {"http": http, "https": https, "grpc": grpc})
    base = f"http://127.0.0.1:{http}"
    token = (data / "root-token").read_text().strip()
    try:
        one, other = hub.register(base, token, processes.directory / "checkout", ["native", "grpc"])
    except BenchError as error:
        raise BenchError(f"{error}\nthe last words of kasbah:\n{processes.last_words('kasbah')}") from error
    words = _kas(processes, "kas", base, data / "kas-secret", agents=agents, proxy=proxy)
    kas_pid = processes.start("kas", words)
    processes.wait_until(lambda: answers(agents), "kas", timeout_s=30, expecting=["kas"])
    native_address = f"ws://127.0.0.1:{http}{_PREFIX}/"
    stack = Stack(
        api_server=direct,
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


def start_lone_kas(processes: Processes, stack: Stack) -> LoneKas:
    """A third way beside the two: a kas of its own, and the gRPC way's agent on a native tunnel to it."""
    agents, proxy = ports.free(2)
    base = stack.native.base.removesuffix(f"{_PREFIX}/k8s-proxy")
    kas = _kas(
        processes, "lone-kas", base, processes.directory / "kasbah" / "kas-secret", agents=agents, proxy=proxy
    )
    agent: list[str | Path] = [_PROGRAMS / "agentk", f"--kas-address=ws://127.0.0.1:{agents}"]
    agent += [f"--token-file={processes.directory / 'agentk-grpc-token'}"]
    agent += [f"--kubeconfig={processes.directory / 'kubeconfig'}"]
    route = Route(
        name="kas of its own", base=f"http://127.0.0.1:{proxy}", pids=[0, 0], headers=stack.grpc.headers
    )
    lone = LoneKas(processes=processes, route=route, kas=kas, agent=agent)
    processes.stop("agentk-grpc")  # it is the same agent
    lone.start_kas()
    route.pids[1] = processes.start(lone.agent_name, agent)
    return lone


def _kas(
    processes: Processes, name: str, hub_url: str, secret: Path, *, agents: int, proxy: int
) -> list[str | Path]:
    """The command of a kas of its own, its configuration written."""
    configuration = {
        "gitlab": {"address": hub_url, "authentication_secret_file": str(secret)},
        "agent": {
            # No load balancer has to notice before kas stops.
            "listen": {"address": f"127.0.0.1:{agents}", "listen_grace_period": "0.001s"},
            "kubernetes_api": {"listen": {"address": f"127.0.0.1:{proxy}", "listen_grace_period": "0.001s"}},
        },
        "observability": {"listen": {"address": f"127.0.0.1:{ports.free(1)[0]}"}},
    }
    file = processes.directory / f"{name}.yaml"
    file.write_text(json.dumps(configuration))
    return [_PROGRAMS / "kas", f"--configuration-file={file}"]


def _start_agent(processes: Processes, name: str, address: str, token: str, api_server: ApiServer) -> int:
    token_file = processes.directory / f"{name}-token"
    token_file.write_text(token)
    token_file.chmod(0o600)
    kubeconfig = processes.directory / "kubeconfig"
    authority = f', certificate-authority: "{api_server.authority}"' if api_server.authority else ""
    kubeconfig.write_text(_KUBECONFIG.format(server=api_server.url, authority=authority))
    options = [f"--kas-address={address}", f"--token-file={token_file}", f"--kubeconfig={kubeconfig}"]
    return processes.start(name, [_PROGRAMS / "agentk", *options])


def _compile() -> None:
    """Have the bytecode there as it is once installed: compiling costs a start its time and keeps memory."""
    words = [sys.executable, "-m", "compileall", "-q", str(Path(kasbah.__file__).parent)]
    subprocess.run(words, env=os.environ | {"PYTHONDONTWRITEBYTECODE": ""}, check=False)


def describe() -> str:
    """The machine, as far as figures depend on it."""
    model = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), ""
    )
    name = model.partition(":")[2].strip() or "unknown processor"
    return f"{os.cpu_count()} cores of {name}, Python {sys.version.split()[0]}, everything on loopback"
