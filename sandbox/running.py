"""The list of this user's running clusters: each writes down who holds it and how to use it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox import places, supervisor, workload
from sandbox.cluster import Cluster

BY_HAND = "python -m sandbox up"
_ABOUT = "about.json"
_STOP_S = 30.0

About = Mapping[str, Any]


def record(cluster: Cluster, purpose: str) -> None:
    """Writes down a cluster that has just become usable."""
    about = {
        "purpose": purpose,
        "pid": os.getpid(),
        "supervisor_pid": cluster.supervisor_pid,
        "directory": str(cluster.directory),
        "api_server": cluster.api_server,
        "ca_file": str(cluster.ca_file),
        "kubeconfig": str(cluster.admin_kubeconfig),
        "kubectl": str(cluster.binary("kubectl")),
        "node": cluster.node_kind,
        "node_reason": cluster.node_reason,
        "image": workload.IMAGE,
        "started": time.time(),
    }
    unfinished = cluster.directory / f"{_ABOUT}.new"
    unfinished.write_text(json.dumps(about))
    unfinished.rename(cluster.directory / _ABOUT)


def find(cluster: Cluster) -> About:
    """What is written down about one cluster."""
    return _read(cluster.directory)


def everything() -> list[About]:
    """All usable clusters, the oldest first."""
    found = []
    for directory in places.clusters().iterdir():
        with contextlib.suppress(OSError, ValueError):
            if supervisor.alive(directory):
                found.append(_read(directory))
    return sorted(found, key=lambda about: float(about["started"]))


def stop(about: About) -> bool:
    """Ends one cluster: its holder where that is `up`, else its supervisor. Whether it is gone in time."""
    by_hand = about["purpose"] == BY_HAND
    with contextlib.suppress(ProcessLookupError):
        os.kill(about["pid"] if by_hand else about["supervisor_pid"], signal.SIGTERM)
    directory = Path(about["directory"])
    deadline = time.monotonic() + _STOP_S
    while directory.exists() and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    return not directory.exists()


def _read(directory: Path) -> About:
    about: dict[str, Any] = json.loads((directory / _ABOUT).read_text())
    return {"name": directory.name} | about
