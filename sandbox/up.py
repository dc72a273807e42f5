"""Brings a cluster up, hands it out, and takes it down again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from sandbox import build, places, supervisor
from sandbox.binaries import CONTROL_PLANE, KWOK
from sandbox.cluster import Cluster
from sandbox.control_plane import ControlPlane, Network
from sandbox.errors import CannotRunError
from sandbox.kwok_node import KwokNode
from sandbox.processes import Processes
from sandbox.users import Users

NodeChoice = Literal["kwok", "real", "auto"]


@contextmanager
def control_plane(
    node: NodeChoice = "kwok", *, users: Mapping[str, Sequence[str]] | None = None
) -> Iterator[Cluster]:
    """A running cluster with one ready node; builds the programs first when this machine has not yet.

    Args:
        node: `kwok` (any user), `real` (root), or `auto`: the real one where it can run.
        users: made-up people and their groups the API server shall know from the start.

    Raises:
        CannotRunError: the machine lacks something; the text names what to install.
        SandboxError: a part of the cluster failed; the text holds its last words.
    """
    binaries = build.ensure((*CONTROL_PLANE, *KWOK))
    supervisor.sweep(places.clusters())
    directory = Path(tempfile.mkdtemp(dir=places.clusters(), prefix=""))
    with Processes(directory) as processes:
        people = Users(directory / "users.csv", users or {})
        plane = ControlPlane(processes, binaries, people, Network())
        played = KwokNode(processes, binaries, plane)
        plane.start()
        played.start()
        plane.wait()
        played.wait()
        yield Cluster(
            processes,
            binaries,
            plane,
            people,
            node_kind="kwok",
            node_reason="a node played by KWOK, as asked",
        )


def why_not(node: NodeChoice = "kwok") -> str | None:
    """Why this machine cannot run such a cluster at all; None when it can, perhaps after building for a while."""
    binaries = (*CONTROL_PLANE, *KWOK)
    if build.missing(binaries, places.cache()):
        try:
            build.check_go()
        except CannotRunError as error:
            return str(error)
    return None
