"""Nodes played by KWOK: any user may have them, pods are ready at once, and their streams are real.

An exec runs the command on this machine as the user who started the sandbox (KWOK's "local" target), so standard input,
terminals, exit codes and `kubectl cp` are real streams through the API server. Logs, attach and port-forward end at
`sandbox.stand_in`. Whoever may exec in this cluster may therefore run programs as that user: keep its kubeconfigs private.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox import images, ports, workload
from sandbox.api import node_is_ready
from sandbox.plane import ControlPlane
from sandbox.processes import Processes

NODE_NAME = "kwok-node"
_STAND_IN = Path(__file__).with_name("stand_in.py")
_STAGES = Path(__file__).with_name("kwok-stages.yaml")
_READY_S = 60.0


class KwokNode:
    """One node; made before the control plane starts, started after."""

    def __init__(
        self, processes: Processes, binaries: Mapping[str, Path], control_plane: ControlPlane
    ) -> None:
        self._processes = processes
        self._binaries = binaries
        self._control_plane = control_plane

    def start(self) -> None:
        """Starts KWOK and the stand-in of the containers."""
        directory = self._processes.directory
        log = directory / "containers.log"
        port, echo_port, http_port = ports.free(3)
        command = [
            sys.executable,
            "-I",
            "-S",
            str(_STAND_IN),
            str(log),
            str(echo_port),
            str(http_port),
            workload.GREETING,
        ]
        self._processes.start("stand-in", command)
        configuration = directory / "kwok.yaml"
        configuration.write_text(_configuration(log, echo_port, http_port))
        self._processes.start(
            "kwok",
            [
                self._binaries["kwok"],
                f"--kubeconfig={self._control_plane.admin_kubeconfig}",
                f"--config={configuration}",
                "--node-ip=127.0.0.1",
                f"--node-port={port}",
                f"--server-address=127.0.0.1:{port}",
                f"--tls-cert-file={self._control_plane.ca_file}",
                f"--tls-private-key-file={self._control_plane.key_file}",
                "--node-lease-duration-seconds=40",
            ],
            environment={"HOME": str(directory)},  # KWOK reads ~/.kwok/kwok.yaml when there is one
        )

    def wait(self) -> None:
        """Registers the node and waits until it is ready."""
        self._control_plane.api.status("POST", "/api/v1/nodes", _node())
        self._processes.wait_until(
            lambda: node_is_ready(self._control_plane.api, NODE_NAME),
            "ready node",
            timeout_s=_READY_S,
            expecting=("kwok", "stand-in"),
        )


def _node() -> dict[str, Any]:
    metadata = {
        "name": NODE_NAME,
        "annotations": {"kwok.x-k8s.io/node": "fake"},
        "labels": {
            "kubernetes.io/hostname": NODE_NAME,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": images.architecture(),
            "type": "kwok",
        },
    }
    resources = {"cpu": "32", "memory": "256Gi", "pods": "1000"}
    status = {"allocatable": resources, "capacity": resources}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status}


def _configuration(log: Path, echo_port: int, http_port: int) -> str:
    """JSON documents are YAML documents; the stages come as they were published."""
    # Given a document of its own, KWOK defaults none of these, and without them does nothing.
    options = {
        "manageAllNodes": True,
        "nodeLeaseParallelism": 4,
        "podPlayStageParallelism": 4,
        "nodePlayStageParallelism": 4,
        "podsOnNodeSyncParallelism": 4,
        "enableDebuggingHandlers": True,
        "enablePodsOnNodeSyncStreamWatch": True,
    }
    hello = {"target": {"port": http_port, "address": "127.0.0.1"}}
    echo = {"ports": [workload.ECHO_PORT], "target": {"port": echo_port, "address": "127.0.0.1"}}
    documents = [
        {"apiVersion": "config.kwok.x-k8s.io/v1alpha1", "kind": "KwokConfiguration", "options": options},
        _everywhere("ClusterExec", {"execs": [{"local": {}}]}),
        _everywhere("ClusterLogs", {"logs": [{"logsFile": str(log)}]}),
        _everywhere("ClusterAttach", {"attaches": [{"logsFile": str(log)}]}),
        _everywhere("ClusterPortForward", {"forwards": [hello, echo]}),
    ]
    return "\n---\n".join([*(json.dumps(document) for document in documents), _STAGES.read_text()])


def _everywhere(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "sandbox"},
        "spec": spec,
    }
