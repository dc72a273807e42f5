"""The story itself, chapter by chapter: from an empty directory to kubectl through a tunnel."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from demo.errors import StoryError
from demo.narrator import Narrator
from demo.shell import Background, Shell

_CONFIGURATION: Final = """\
user_access:
  access_as: {agent: {}}
  projects:
  - id: demo/fleet
"""
_WATCH_BEGINS_S: Final = 1.0
"""A watch says nothing until something happens; by now it looks on."""
_REPLICAS: Final = 2
_FREE_PORTS: Final = {"http": 8080, "https": 8443, "grpc": 8150}
"""The defaults of `kasbah up`, taken when nobody else has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The cluster that the story plays in."""

    kubeconfig: Path
    """May do everything; only agentk gets it."""
    kubectl: Path
    image: str
    """Its default command, or `command`, writes a line a second and answers HTTP on port 8080."""
    command: str = ""
    namespace: str = ""
    """Made by the story, when it is not the default one."""


class Story:
    """Tells it, and holds what it started until `end`."""

    def __init__(self, narrator: Narrator, shell: Shell, stage: Stage) -> None:
        self._narrator = narrator
        self._shell = shell
        self._stage = stage
        self._urls: dict[str, str] = {}
        self._in_namespace = False

    def tell(self) -> None:
        """All chapters.

        Raises:
            StoryError: a command failed.
        """
        with self._narrator.chapter("kasbah up: hub and kas in one process"):
            self._start_kasbah()
        with self._narrator.chapter("A project, and an agent configuration pushed with git"):
            self._make_project()
            self._push_configuration()
        with self._narrator.chapter("An agent, and agentk beside the cluster"):
            self._register_agent()
        with self._narrator.chapter("kubectl through the tunnel: nodes, a deployment, a watch"):
            self._reach_the_cluster()
            self._deploy()
        with self._narrator.chapter("Streams: exec, logs, a forwarded port"):
            self._exec()
            self._follow_logs()
            self._forward_port()

    def end(self) -> None:
        """Leave nothing in the cluster and no process; also after a failure, and more than once."""
        try:
            if self._in_namespace:
                self._in_namespace = False
                delete = f"kubectl delete namespace {self._stage.namespace} --wait=false"
                # Past the tunnel: it may be what failed.
                self._shell.run(f"{delete} --kubeconfig=cluster.kubeconfig --ignore-not-found")
        finally:
            self._shell.stop()

    def what_to_try(self) -> str:
        """For somebody who keeps it."""
        return (
            f". {self._shell.home}/env      # HOME, PATH and KUBECONFIG of the demo\n"
            "kubectl get pods --all-namespaces --watch\n"
            "kubectl exec -it deploy/hello -- sh\n"
            "kasbah agent list --project demo/fleet\n"
            "kasbah agent token list prod --project demo/fleet\n"
            f"cd {self._shell.home}/fleet && git log --stat\n"
        )

    def _start_kasbah(self) -> None:
        self._narrator.say(
            "The agent server (kas) and the Git side of it (hub) run as one process. It makes itself a certificate, "
            "an administrator and a token for them."
        )
        ports = {name: _free_port(port) for name, port in _FREE_PORTS.items()}
        flags = " ".join(
            f"--{name} 127.0.0.1:{port}" for name, port in ports.items() if port != _FREE_PORTS[name]
        )
        up = self._shell.start("kasbah-up", f"kasbah up --data data {flags}".rstrip())
        line = up.wait_for(lambda text: text.startswith("{"), 30)
        self._urls = json.loads(line)
        self._narrator.output(line)
        url = self._urls["https"]
        self._shell.run(f"kasbah login --url {url} --token-file data/root-token --ca-file data/ca.crt")
        self._shell.run("kasbah whoami")

    def _make_project(self) -> None:
        self._shell.run("kasbah group create demo")
        self._shell.run("kasbah project create demo/fleet")

    def _push_configuration(self) -> None:
        self._narrator.say(
            "What the agent may do lies in Git: members of demo/fleet may use its cluster, as the agent itself. "
            "(Git finds the token and the authority in the demo's own ~/.gitconfig.)"
        )
        url = self._urls["https"]
        self._prepare_git(url)
        self._shell.run("git init --quiet --initial-branch main fleet")
        file = self._shell.home / "fleet/.gitlab/agents/prod/config.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(_CONFIGURATION)
        self._shell.run("cat fleet/.gitlab/agents/prod/config.yaml")
        self._shell.run('cd fleet && git add . && git commit --quiet -m "Let the fleet use its cluster"')
        self._shell.run(f"cd fleet && git push {url}/demo/fleet.git main")

    def _prepare_git(self, url: str) -> None:
        token = (self._shell.home / "data/root-token").read_text().strip()
        credentials = self._shell.home / ".git-credentials"
        credentials.touch(mode=0o600)
        credentials.write_text(url.replace("://", f"://root:{token}@") + "\n")
        (self._shell.home / ".gitconfig").write_text(
            "[user]\n\tname = Demo\n\temail = demo@example.org\n[credential]\n\thelper = store\n"
            f"[http]\n\tsslCAInfo = {self._shell.home}/data/ca.crt\n"
        )

    def _register_agent(self) -> None:
        self._shell.run("kasbah agent register prod --project demo/fleet --token-file-out agent-token")
        self._narrator.say(
            "agentk dials out to kas and waits for work. It is the only one that has credentials of the cluster."
        )
        (self._shell.home / "cluster.kubeconfig").symlink_to(self._stage.kubeconfig)
        probe = _free_port(0)
        address = self._urls["kas_address"]
        agentk = self._shell.start(
            "agentk",
            f"agentk --kas-address={address} --token-file=agent-token --kubeconfig=cluster.kubeconfig "
            f"--observability-listen-address=127.0.0.1:{probe}",
        )
        seconds = _wait_until_ready(agentk, f"http://127.0.0.1:{probe}/readiness", 20)
        self._narrator.say(f"It was connected and configured after {seconds:.1f} s.")

    def _reach_the_cluster(self) -> None:
        self._shell.run("kasbah agent update-kubeconfig prod --project demo/fleet --use-context")
        if self._stage.namespace:
            self._in_namespace = True
            self._shell.run(f"kubectl create namespace {self._stage.namespace}")
            self._shell.run(f"kubectl config set-context --current --namespace={self._stage.namespace}")
        self._shell.run("kubectl get nodes -o wide")

    def _deploy(self) -> None:
        self._narrator.say("A watch looks on (its lines start with |) while a deployment becomes ready:")
        watch = self._shell.start("watch", "kubectl get pods --watch --output-watch-events")
        watch.show_with(lambda line: self._narrator.output(line, mark="|"))
        _pause(_WATCH_BEGINS_S)
        create = f"kubectl create deployment hello --image={self._stage.image} --replicas={_REPLICAS}"
        self._shell.run(f"{create} -- {self._stage.command}" if self._stage.command else create)
        self._shell.run("kubectl rollout status deployment/hello --timeout=60s")
        ready = watch.wait_for(lambda line: "1/1" in line and "Running" in line, 20)
        watch.stop()
        self._narrator.say(f"The watch saw {ready.split()[1]} become ready.")

    def _exec(self) -> None:
        shown = self._shell.run(
            "kubectl exec deploy/hello -- sh -c 'echo this runs in the pod; id -un; uname -s'"
        )
        _expect("this runs in the pod", shown)
        shown = self._shell.run("echo and back again | kubectl exec -i deploy/hello -- tr a-z A-Z")
        _expect("AND BACK AGAIN", shown)

    def _follow_logs(self) -> None:
        follow = self._shell.start("logs", "kubectl logs deploy/hello --follow --tail=1")
        follow.show_with(lambda line: self._narrator.output(line, mark="|"))
        deadline = time.monotonic() + 20
        while len(follow.lines) < 3 and time.monotonic() < deadline:
            follow.check()
            _pause(0.05)
        follow.stop()
        if len(follow.lines) < 3:
            raise StoryError("kubectl logs --follow showed no new lines in 20 s")

    def _forward_port(self) -> None:
        forward = self._shell.start("port-forward", "kubectl port-forward deploy/hello :8080")
        line = forward.wait_for(lambda text: text.startswith("Forwarding from 127.0.0.1:"), 20)
        self._narrator.output(line, mark="|")
        port = line.split(":")[1].split()[0]
        shown = self._shell.run(_fetch_command(f"http://127.0.0.1:{port}/"))
        _expect("hello", shown)
        forward.stop()


def _fetch_command(url: str) -> str:
    if shutil.which("curl"):
        return f"curl --silent --show-error --fail --noproxy '*' {url}"
    code = f"import urllib.request as r; print(r.build_opener(r.ProxyHandler({{}})).open('{url}').read().decode())"
    return f'{Path(sys.executable).name} -c "{code}"'


def _expect(text: str, shown: str) -> None:
    if text not in shown:
        raise StoryError(f"expected {text!r} in what the last command printed:\n{shown}")


def _wait_until_ready(program: Background, url: str, timeout_s: float) -> float:
    """Until the probe says so; how long it took."""
    began = time.monotonic()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        program.check()
        try:
            with opener.open(url, timeout=2):
                return time.monotonic() - began
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() - began > timeout_s:
                raise StoryError(
                    f"{program.name} was not ready in {timeout_s:.0f} s:\n{program.tail()}"
                ) from error
        _pause(0.05)


def _free_port(wanted: int) -> int:
    """The wanted port, or another one when somebody has it."""
    for port in (wanted, 0):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(listener.getsockname()[1])
    raise StoryError("this machine has no free port on 127.0.0.1")


def _pause(seconds: float) -> None:
    time.sleep(seconds)  # noqa: TID251 - real processes, nothing to wait on


def commands_needed() -> Sequence[str]:
    """What must be on this machine beside our own programs."""
    return [name for name in ("git",) if shutil.which(name) is None]
