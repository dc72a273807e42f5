"""Brings a cluster up, hands it out, and takes it down again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sandbox import build, places, real_node_needs, running, supervisor
from sandbox.binaries import CLIENTS, CONTROL_PLANE, KWOK, REAL_NODE, Binary
from sandbox.cluster import Cluster, NodeKind
from sandbox.errors import CannotRunError, SandboxError
from sandbox.kwok_node import KwokNode
from sandbox.plane import ControlPlane, Network
from sandbox.processes import Processes
from sandbox.real_node import RealNode
from sandbox.users import Users

NodeChoice = Literal["kwok", "real", "auto"]

_PROGRAMS: Mapping[NodeKind, tuple[Binary, ...]] = {
    "kwok": (*CONTROL_PLANE, *KWOK),
    "real": (*CONTROL_PLANE, *REAL_NODE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What somebody wants of a cluster, whatever its node."""

    users: Mapping[str, Sequence[str]]
    purpose: str
    api_server_flags: tuple[str, ...]


@contextmanager
def control_plane(
    node: NodeChoice = "kwok",
    *,
    users: Mapping[str, Sequence[str]] | None = None,
    purpose: str = "a program",
    api_server_flags: Sequence[str] = (),
) -> Iterator[Cluster]:
    """A running cluster with one ready node; builds the programs first when this machine has not yet.

    Args:
        node: `kwok` (any user), `real` (root), or `auto`: the real one where it can run.
        users: made-up people and their groups the API server shall know from the start.
        purpose: what `python -m sandbox status` calls whoever holds this cluster.
        api_server_flags: more flags of kube-apiserver; they win over ours.

    Raises:
        CannotRunError: the machine lacks something; the text names what to install.
        SandboxError: a part of the cluster failed; the text holds its last words.
    """
    kind, reason = choose(node)
    order = _Order(users=users or {}, purpose=purpose, api_server_flags=tuple(api_server_flags))
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(_running(kind, reason, order))
        except (CannotRunError, SandboxError) as error:
            if node != "auto" or kind == "kwok":
                raise
            cluster = stack.enter_context(_running("kwok", _instead(error), order))
        yield cluster


def prepare(node: NodeChoice = "kwok") -> dict[str, Path]:
    """Builds what such a cluster needs and this machine lacks; gives the place of each program."""
    kind, _reason = choose(node)
    return build.ensure(_PROGRAMS[kind])


def clients() -> dict[str, Path]:
    """Programs that people talk to clusters with: helm, and an older kubectl; built first when they are missing."""
    return build.ensure(CLIENTS)


def choose(node: NodeChoice) -> tuple[NodeKind, str]:
    """The kind of node to use, and one sentence on why."""
    if node == "kwok":
        return "kwok", "The node is played by KWOK, as asked."
    if node == "real":
        real_node_needs.check()
        return "real", "The node is real (kubelet, containerd, runc), as asked."
    try:
        real_node_needs.check()
    except CannotRunError as error:
        return "kwok", _instead(error)
    return "real", "The node is real (kubelet, containerd, runc), because root on this machine can run one."


def why_not(node: NodeChoice = "kwok") -> str | None:
    """Why this machine can never run such a cluster as it is: no Go, or not root. None when it can.

    A missing Debian package is not among the reasons: that is for somebody to install, and `control_plane` says so.
    """
    if node == "real" and (reason := real_node_needs.why_never()):
        return reason
    kind: NodeKind = "real" if node == "real" else "kwok"
    if build.missing(_PROGRAMS[kind], places.cache()):
        try:
            build.check_go()
        except CannotRunError as error:
            return str(error)
    return None


def _instead(error: Exception) -> str:
    first_line, *_rest = str(error).splitlines()
    return f"The node is played by KWOK, because a real one cannot run here: {first_line.rstrip('.')}."


@contextmanager
def _running(kind: NodeKind, reason: str, order: _Order) -> Iterator[Cluster]:
    binaries = build.ensure(_PROGRAMS[kind])
    supervisor.sweep(places.clusters())
    directory = Path(tempfile.mkdtemp(dir=places.clusters(), prefix=""))
    with Processes(directory) as processes:
        people = Users(directory / "users.csv", order.users)
        start = _with_real_node if kind == "real" else _with_kwok
        plane = start(processes, binaries, people, order.api_server_flags)
        cluster = Cluster(processes, binaries, plane, people, node_kind=kind, node_reason=reason)
        running.record(cluster, order.purpose)
        yield cluster


def _with_kwok(
    processes: Processes, binaries: Mapping[str, Path], people: Users, flags: Sequence[str]
) -> ControlPlane:
    plane = ControlPlane(processes, binaries, people, Network(), flags)
    node = KwokNode(processes, binaries, plane)
    plane.start()
    node.start()
    plane.wait()
    node.wait()
    return plane


def _with_real_node(
    processes: Processes, binaries: Mapping[str, Path], people: Users, flags: Sequence[str]
) -> ControlPlane:
    # The node comes first: its network holds the address the API server listens on.
    node = RealNode(processes, binaries)
    plane = ControlPlane(processes, binaries, people, node.start(), flags)
    plane.start()
    plane.wait()
    node.wait(plane.api)
    return plane
