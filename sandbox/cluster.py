"""What a test, a benchmark or the demo holds in its hand: a running cluster."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sandbox import kubectl
from sandbox.audit import AuditLog
from sandbox.plane import ControlPlane
from sandbox.processes import Processes
from sandbox.users import Users

NodeKind = Literal["kwok", "real"]


class Cluster:
    """A control plane of our own with one ready node.

    Attributes:
        node_kind: whether KWOK plays the node or a real kubelet is one.
        node_reason: one sentence on which kind this is and why.
        directory: everything of this cluster, gone when it is.
    """

    def __init__(
        self,
        processes: Processes,
        binaries: Mapping[str, Path],
        control_plane: ControlPlane,
        users: Users,
        *,
        node_kind: NodeKind,
        node_reason: str,
    ) -> None:
        self._processes = processes
        self._binaries = binaries
        self._control_plane = control_plane
        self._users = users
        self.node_kind = node_kind
        self.node_reason = node_reason
        self.directory = processes.directory

    @property
    def api_server(self) -> str:
        """The URL of the API server."""
        return self._control_plane.url

    @property
    def ca_file(self) -> Path:
        """The certificates to trust when talking to the API server."""
        return self._control_plane.ca_file

    @property
    def admin_kubeconfig(self) -> Path:
        """A kubeconfig that may do everything."""
        return self._control_plane.admin_kubeconfig

    @property
    def audit(self) -> AuditLog:
        """What the API server writes about each request it answered."""
        return self._control_plane.audit

    @property
    def supervisor_pid(self) -> int:
        """The process that is the parent of everything here."""
        return self._processes.supervisor_pid

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig of a made-up person, who may do what RBAC gives the name and the groups.

        The API server reads its list of people when it starts: somebody it does not know yet costs a restart of it
        (about two seconds), so name them to `control_plane(users=…)` where that matters.
        """
        person = self._users.find(user, groups)
        if person is None:
            person = self._users.add(user, groups)
            self.restart_api_server()
        name = re.sub(r"[^A-Za-z0-9.-]", "_", "-".join((user, *groups)))
        return self._control_plane.write_kubeconfig(self.directory / f"{name[:100]}.kubeconfig", person)

    def kubectl(
        self,
        *arguments: str,
        input: str | None = None,  # noqa: A002 - as subprocess.run names it
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Runs our kubectl as the administrator.

        Raises:
            SandboxError: it failed, unless `check` is false.
        """
        return kubectl.run(
            self.binary("kubectl"),
            arguments,
            kubeconfig=self.admin_kubeconfig,
            cache=self.directory / "kubectl-cache",
            stdin=input,
            check=check,
        )

    def binary(self, name: str) -> Path:
        """Where one of the built programs lies, kubectl above all."""
        return self._binaries[name]

    def stop_api_server(self) -> None:
        """Kills the API server (kill -9)."""
        self._control_plane.stop_api_server()

    def start_api_server(self) -> None:
        """Starts it again on the same address and waits until it answers."""
        self._control_plane.start_api_server()

    def restart_api_server(self) -> None:
        """Kills the API server and starts it again."""
        self.stop_api_server()
        self.start_api_server()

    def alive(self) -> bool:
        """Whether the cluster still runs; somebody else may have ended it."""
        return self._processes.alive()

    def logs(self, program: str, *, lines: int = 50) -> str:
        """The end of the log of etcd, kube-apiserver, kwok, …"""
        return self._processes.last_words(program, lines=lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingCluster:
    """Somebody else's cluster, reached by a kubeconfig; the sandbox starts and stops nothing in it.

    Attributes:
        admin_kubeconfig: a copy of the one context, owned by whoever asked for it.
        kubectl_path: the kubectl found on this machine.
    """

    admin_kubeconfig: Path
    context: str
    kubectl_path: Path

    def kubectl(
        self,
        *arguments: str,
        input: str | None = None,  # noqa: A002 - as subprocess.run names it
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Runs kubectl in this context.

        Raises:
            SandboxError: it failed, unless `check` is false.
        """
        return kubectl.run(
            self.kubectl_path,
            arguments,
            kubeconfig=self.admin_kubeconfig,
            cache=None,
            stdin=input,
            check=check,
        )

    def binary(self, name: str) -> Path:
        """Only kubectl is at hand here."""
        if name != "kubectl":
            raise KeyError(name)
        return self.kubectl_path
