"""`kasbah up` and `agentk` as a person starts them, with one project, one agent and one kubeconfig."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from bench.errors import BenchError
from bench.processes import answers
from sandbox import ports
from sandbox.processes import Processes

ROOT = str(Path(__file__).resolve().parents[1])
_PROGRAMS = Path(sys.executable).parent
_AGENT = "bench"
_CONFIGURATION = """
user_access:
  access_as:
    agent: {{}}
  projects:
    - id: {project}
"""
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
    """The running programs, and how a client reaches the cluster through them."""

    server_pid: int
    """hub and kas, one process."""
    agent_pid: int
    proxy_url: str
    """Without the path that the API server sees."""
    headers: dict[str, str]

    def url(self, path: str) -> str:
        return self.proxy_url + path

    @property
    def pids(self) -> list[int]:
        return [self.server_pid, self.agent_pid]


def start(processes: Processes, api_server: str) -> Stack:
    """Start both programs in front of this API server and wait until a request passes."""
    http, https, grpc = ports.free(3)
    data = processes.directory / "kasbah"
    addresses = [
        "--http",
        f"127.0.0.1:{http}",
        "--https",
        f"127.0.0.1:{https}",
        "--grpc",
        f"127.0.0.1:{grpc}",
    ]
    server_pid = processes.start("kasbah", [_PROGRAMS / "kasbah", "up", "--data", data, *addresses])
    processes.wait_until(
        lambda: (data / "root-token").exists() and answers(http),
        "kasbah is up",
        timeout_s=30,
        expecting=["kasbah"],
    )
    base = f"http://127.0.0.1:{http}"
    token = (data / "root-token").read_text().strip()
    try:
        agent_id, agent_token = _register(base, token, processes.directory)
    except BenchError as error:
        raise BenchError(f"{error}\nthe last words of kasbah:\n{processes.last_words('kasbah')}") from error
    stack = Stack(
        server_pid=server_pid,
        agent_pid=_start_agent(
            processes, f"ws://127.0.0.1:{http}/-/kubernetes-agent/", agent_token, api_server
        ),
        proxy_url=f"{base}/-/kubernetes-agent/k8s-proxy",
        headers={"Authorization": f"Bearer pat:{agent_id}:{token}"},
    )
    processes.wait_until(
        lambda: _passes(stack), "a request passes the tunnel", timeout_s=30, expecting=["kasbah", "agentk"]
    )
    return stack


def _register(base: str, token: str, directory: Path) -> tuple[int, str]:
    """A project with the agent's configuration, the agent, and a token for it."""
    with httpx2.Client(base_url=f"{base}/api/v4", headers={"PRIVATE-TOKEN": token}, trust_env=False) as api:
        project = _post(api, "/projects", {"name": "bench"})
        path = project["path_with_namespace"]
        _push(f"{base}/{path}.git", token, directory / "checkout", _CONFIGURATION.format(project=path))
        agent = _post(api, f"/projects/{project['id']}/cluster_agents", {"name": _AGENT})
        created = _post(
            api, f"/projects/{project['id']}/cluster_agents/{agent['id']}/tokens", {"name": "bench"}
        )
    return int(agent["id"]), str(created["token"])


def _post(api: httpx2.Client, path: str, body: dict[str, str]) -> dict[str, Any]:
    response = api.post(path, json=body)
    if response.status_code != httpx2.codes.CREATED:
        raise BenchError(f"POST {path}: {response.status_code} {response.text[:256]}")
    answer: dict[str, Any] = response.json()
    return answer


def _push(url: str, token: str, checkout: Path, configuration: str) -> None:
    file = checkout / ".gitlab" / "agents" / _AGENT / "config.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(configuration)
    credential = base64.b64encode(f"root:{token}".encode()).decode()
    settings = {
        "http.extraHeader": f"Authorization: Basic {credential}",
        "user.name": "bench",
        "user.email": "bench@example.com",
        "init.defaultBranch": "main",
    }
    # In the environment and not in the arguments: those are for everybody to read.
    environment = os.environ | {
        "GIT_CONFIG_COUNT": str(len(settings)),
        "GIT_TERMINAL_PROMPT": "0",
        "NO_PROXY": "*",
    }
    for number, (key, value) in enumerate(settings.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["commit", "-q", "-m", "configure"],
        ["push", "-q", url, "HEAD:main"],
    ):
        finished = subprocess.run(
            ["git", "-C", checkout, *words], env=environment, capture_output=True, text=True, check=False
        )
        if finished.returncode:
            raise BenchError(f"git {words[0]}: {finished.stderr.strip()}")


def _start_agent(processes: Processes, address: str, token: str, api_server: str) -> int:
    token_file = processes.directory / "agent-token"
    token_file.write_text(token)
    token_file.chmod(0o600)
    kubeconfig = processes.directory / "kubeconfig"
    kubeconfig.write_text(_KUBECONFIG.format(server=api_server))
    options = [f"--kas-address={address}", f"--token-file={token_file}", f"--kubeconfig={kubeconfig}"]
    return processes.start("agentk", [_PROGRAMS / "agentk", *options])


def _passes(stack: Stack) -> bool:
    try:
        response = httpx2.get(
            stack.url("/api/v1/namespaces/default/pods"), headers=stack.headers, trust_env=False
        )
    except httpx2.TransportError:
        return False
    return response.status_code == httpx2.codes.OK


def describe() -> str:
    """The machine, as far as figures depend on it."""
    model = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), ""
    )
    name = model.partition(":")[2].strip() or "unknown processor"
    return f"{os.cpu_count()} cores of {name}, Python {sys.version.split()[0]}, everything on loopback"
