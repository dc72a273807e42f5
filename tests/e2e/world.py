"""A whole Kasbah in processes of its own: `kasbah up`, an agentk, a project with an agent, and kubectl on top.

What a person would do, done through the public doors only: REST, git, the command lines.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

import sandbox

AGENTS = "/projects/ops%2Ffleet/cluster_agents"
AGENT_CONFIGURATION = "user_access:\n  access_as: {agent: {}}\n  projects: [{id: ops/fleet}]\n"
AS_USER_CONFIGURATION = (
    "user_access:\n  access_as: {user: {}}\n  projects: [{id: ops/fleet}]\n  groups: [{id: ops}]\n"
)
DEVELOPER = 30


def free_port() -> int:
    """A TCP port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for(
    condition: Callable[[], bool], timeout_s: float = 10, *, told: Callable[[], str] = lambda: ""
) -> float:
    """Until the condition holds; how long that took, in seconds. `told` is what to print when it never does."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_s, f"not within {timeout_s} s\n{told()}"
        time.sleep(0.02)  # noqa: TID251 - real processes, nothing to wait on
    return time.monotonic() - began


class Program:
    """One process of ours with its log in a file."""

    def __init__(self, name: str, argv: Sequence[str], directory: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.argv = list(argv)
        self.log = directory / f"{name}.log"
        self._environment = environment
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, first_line: bool = False, timeout_s: float = 30) -> str:
        """Start it; with `first_line` wait for a line on stdout and return it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if first_line else log,
                stderr=log,
                env=self._environment,
            )
        if not first_line:
            return ""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], timeout_s)
        line = self.process.stdout.readline().decode() if readable else ""
        if not line:
            self.kill()
            raise AssertionError(f"{self.name} said nothing in {timeout_s} s; its log ends:\n{self.tail()}")
        return line

    def stop(self, timeout_s: float = 40) -> int:
        """SIGTERM, and its exit code."""
        self.terminate()
        return self.wait(timeout_s)

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        assert self.process is not None
        self.process.terminate()

    def wait(self, timeout_s: float) -> int:
        """Until it ends by itself; its exit code."""
        assert self.process is not None
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not end; its log ends:\n{self.tail()}") from None
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.wait(10)

    def tail(self, lines: int = 30) -> str:
        """The end of the log, for a failed test to print."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def events(self) -> list[dict[str, Any]]:
        """The log, line by line."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Another agent of the project, with an agentk that is not started yet."""

    id: int
    program: Program


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with a role in the group, and a token for the proxy."""

    id: int
    name: str
    token: str

    def bearer(self, agent_id: int) -> str:
        """What their kubectl sends to use this agent."""
        return f"pat:{agent_id}:{self.token}"


@dataclass
class World:
    """Where everything is, once `build` has made it."""

    directory: Path
    cluster: sandbox.Cluster
    ports: dict[str, int] = field(
        default_factory=lambda: {n: free_port() for n in ("http", "https", "grpc", "observability", "probe")}
    )
    agent_id: int = 0
    user_token: str = ""
    configuration: str = AGENT_CONFIGURATION
    server: str = ""
    """Where kubectl asks; empty: at the kas of `kasbah up`."""
    up_flags: tuple[str, ...] = ()
    """More of `kasbah up`."""

    def __post_init__(self) -> None:
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "LANG": "C.UTF-8"}
        self.data = self.directory / "data"
        self.up = Program(
            "up",
            [
                *(sys.executable, "-m", "kasbah.up", "--data", str(self.data)),
                *(
                    f
                    for name in ("http", "https", "grpc", "observability")
                    for f in (f"--{name}", f"127.0.0.1:{self.ports[name]}")
                ),
                *self.up_flags,
            ],
            self.directory,
            self.environment,
        )
        self.agentk = self.new_agentk("agentk", self.ports["probe"])

    def through(self, server: str) -> World:
        """The same world with kubectl at another server."""
        other = copy.copy(self)
        other.server = server
        return other

    def new_agentk(
        self, name: str, probe_port: int, *flags: str, address: str = "", known_by: str = "agent-token"
    ) -> Program:
        """Another pod of the agent, not started yet; `known_by` is the file of its token."""
        argv = [
            *(sys.executable, "-m", "kasbah.agentk"),
            f"--kas-address={address or self.agents_address}",
            f"--token-file={self.directory / known_by}",
            f"--kubeconfig={self.cluster.admin_kubeconfig}",
            f"--observability-listen-address=127.0.0.1:{probe_port}",
            *flags,
        ]
        return Program(name, argv, self.directory, self.environment)

    @property
    def agents_address(self) -> str:
        """Where agents dial when nothing else is said."""
        return f"ws://127.0.0.1:{self.ports['http']}/-/kubernetes-agent/"

    @property
    def https(self) -> str:
        return f"https://127.0.0.1:{self.ports['https']}"

    @property
    def proxy(self) -> str:
        return f"{self.https}/-/kubernetes-agent/k8s-proxy"

    @property
    def ca_file(self) -> Path:
        return self.data / "ca.crt"

    @property
    def root_token(self) -> str:
        return (self.data / "root-token").read_text().strip()

    @property
    def bearer(self) -> str:
        """What kubectl sends."""
        return f"pat:{self.agent_id}:{self.user_token}"

    def rest(
        self, method: str, path: str, body: dict[str, object] | None = None, *, expect: int = 200
    ) -> object:
        """One call of the public REST API as root."""
        with self.client() as client:
            answer = client.request(
                method, f"{self.https}/api/v4{path}", json=body, headers={"PRIVATE-TOKEN": self.root_token}
            )
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def client(self) -> httpx2.Client:
        """An HTTP client that trusts our authority and goes through no proxy."""
        import ssl

        return httpx2.Client(
            verify=ssl.create_default_context(cafile=self.ca_file), trust_env=False, timeout=30
        )

    def push_configuration(self, text: str, agent: str = "prod") -> None:
        """Push an agent's `config.yaml` to the default branch with the real git."""
        work = self.directory / "work"
        if not work.exists():
            self.git("init", "-q", "-b", "main", str(work), cwd=self.directory)
        path = work / ".gitlab" / "agents" / agent / "config.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.git("add", ".", cwd=work)
        self.git("commit", "-q", "--allow-empty", "-m", "configure the agent", cwd=work)
        self.git("push", "-q", f"{self.https}/ops/fleet.git", "HEAD:main", cwd=work)

    def git(self, *arguments: str, cwd: Path) -> None:
        identity = {
            f"GIT_{who}_{what}": "mia@example.com"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        environment = (
            self.environment | identity | {"GIT_SSL_CAINFO": str(self.ca_file), "GIT_TERMINAL_PROMPT": "0"}
        )
        if arguments[0] == "push":
            basic = base64.b64encode(f"root:{self.root_token}".encode()).decode()
            environment |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "http.extraHeader",
                "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
            }
        subprocess.run(["git", *arguments], cwd=cwd, env=environment, check=True, timeout=60)

    def kubectl_argv(self, *arguments: str) -> list[str]:
        """kubectl through the tunnel, as a command line."""
        return [
            str(self.cluster.binary("kubectl")),
            f"--kubeconfig={self.directory / 'kubeconfig'}",
            f"--server={self.server or self.proxy}",
            *arguments,
        ]

    def kubectl(
        self, *arguments: str, check: bool = True, stdin: str | None = None, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl through the tunnel."""
        done = subprocess.run(
            self.kubectl_argv(*arguments),
            input=stdin,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=timeout_s,
            check=False,
        )
        if check:
            assert done.returncode == 0, (
                f"kubectl {arguments}: {done.stderr}\n{self.up.tail()}\n{self.agentk.tail()}"
            )
        return done

    @contextlib.contextmanager
    def background(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """kubectl through the tunnel in the background; killed at the end."""
        with subprocess.Popen(
            self.kubectl_argv(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @property
    def up_metrics(self) -> str:
        return f"http://127.0.0.1:{self.ports['observability']}/metrics"

    @property
    def agentk_metrics(self) -> str:
        return f"http://127.0.0.1:{self.ports['probe']}/metrics"

    @staticmethod
    def metric(url: str, name: str) -> float:
        """The sum of a metric's samples."""
        text = httpx2.get(url, trust_env=False).text
        lines = [line for line in text.splitlines() if line.partition("{")[0].partition(" ")[0] == name]
        assert lines, f"no metric {name} at {url}"
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def register(self, name: str) -> int:
        """Another agent of the project; its id."""
        made: Any = self.rest("POST", AGENTS, {"name": name}, expect=201)
        return int(made["id"])

    def new_token(self, agent_id: int, known_by: str = "agent-token") -> int:
        """A token of this agent, in the file that the next agentk reads; its id."""
        made: Any = self.rest("POST", f"{AGENTS}/{agent_id}/tokens", {"name": "t"}, expect=201)
        (self.directory / known_by).write_text(made["token"] + "\n")
        return int(made["id"])

    def revoke_token(self, agent_id: int, token_id: int) -> None:
        """It is no longer good."""
        self.rest("DELETE", f"{AGENTS}/{agent_id}/tokens/{token_id}", expect=204)

    def add_agent(self, name: str, configuration: str, *flags: str, address: str = "") -> Agent:
        """Another agent with a token and a configuration of its own; `flags` and `address` as for `new_agentk`."""
        agent_id, token_file = self.register(name), f"{name}-token"
        self.new_token(agent_id, token_file)
        self.push_configuration(configuration, name)
        program = self.new_agentk(f"agentk-{name}", free_port(), *flags, address=address, known_by=token_file)
        return Agent(id=agent_id, program=program)

    def add_person(self, name: str, level: int | None = DEVELOPER) -> Person:
        """Somebody new with this role in the group, or none."""
        fields: dict[str, object] = {"name": name, "username": name, "email": f"{name}@example.com"}
        made: Any = self.rest("POST", "/users", fields, expect=201)
        if level is not None:
            member: dict[str, object] = {"user_id": made["id"], "access_level": level}
            self.rest("POST", "/groups/ops/members", member, expect=201)
        wanted: dict[str, object] = {"name": "k", "scopes": ["k8s_proxy"]}
        path = f"/users/{made['id']}/personal_access_tokens"
        token: Any = self.rest("POST", path, wanted, expect=201)
        return Person(id=made["id"], name=name, token=token["token"])

    def write_kubeconfig(self, name: str = "kubeconfig", bearer: str = "") -> Path:
        """A kubeconfig as a person would have it: the authority, the proxy's address, the token."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "k", "cluster": {"server": self.proxy, "certificate-authority": str(self.ca_file)}}
            ],
            "users": [{"name": "u", "user": {"token": bearer or self.bearer}}],
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "current-context": "c",
        }
        path = self.directory / name
        path.write_text(json.dumps(config))
        return path

    def wait_for_agent(self, timeout_s: float = 15, extra: Sequence[str] = ()) -> float:
        """Until kubectl is answered through the tunnel; how long that took, in seconds."""
        began = time.monotonic()
        while True:
            answer = self.kubectl(*extra, "get", "--raw", "/version", check=False)
            if answer.returncode == 0:
                return time.monotonic() - began
            if time.monotonic() - began > timeout_s:
                raise AssertionError(f"{answer.stderr}\n{self.up.tail()}\n{self.agentk.tail()}")
            time.sleep(0.1)  # noqa: TID251 - real processes, nothing to wait on

    def build(self) -> None:
        """Start everything and make the project, the agent and the tokens."""
        self.directory.mkdir(exist_ok=True)
        self.up.start(first_line=True)
        self.rest("POST", "/groups", {"name": "Ops", "path": "ops"}, expect=201)
        group = self.rest("GET", "/groups/ops")
        assert isinstance(group, dict)
        self.rest("POST", "/projects", {"name": "fleet", "namespace_id": group["id"]}, expect=201)
        self.agent_id = self.register("prod")
        self.new_token(self.agent_id)
        pat = self.rest(
            "POST", "/user/personal_access_tokens", {"name": "k", "scopes": ["k8s_proxy"]}, expect=201
        )
        assert isinstance(pat, dict)
        self.user_token = pat["token"]
        self.push_configuration(self.configuration)
        self.write_kubeconfig()
        self.agentk.start()
        self.wait_for_agent()

    def end(self) -> None:
        """Kill what still runs."""
        self.agentk.kill()
        self.up.kill()


@contextlib.contextmanager
def world(directory: Path, cluster: sandbox.Cluster, *up_flags: str) -> Iterator[World]:
    """A built world, ended whatever happens."""
    made = World(directory, cluster, up_flags=up_flags)
    try:
        made.build()
        yield made
    finally:
        made.end()
