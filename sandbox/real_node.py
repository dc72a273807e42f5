"""A real node: kubelet, containerd, runc, CNI and kube-proxy in namespaces of their own, for root.

The node has its own network, mounts, processes and host name. Its first process is `sandbox.node_init`; what that one
does inside, and `sandbox.host_link` outside, is planned here. The address the API server must listen on belongs to the
node's cable, so the node starts before the control plane and its kubelet waits for the administrator's kubeconfig.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox import host_link, images, node_settings, real_node_needs, supervisor
from sandbox.address_range import Range
from sandbox.api import Api, node_is_ready
from sandbox.node_settings import NodeSettings
from sandbox.plane import Network
from sandbox.processes import Processes

NODE_NAME = "real-node"
_NAMESPACES = ("--mount", "--net", "--pid", "--ipc", "--uts")
_INIT = Path(__file__).with_name("node_init.py")
_READY_S = 90.0


class RealNode:
    """One node of one cluster."""

    def __init__(self, processes: Processes, binaries: Mapping[str, Path]) -> None:
        self._processes = processes
        self._binaries = binaries
        self._directory = processes.directory / "node"

    def start(self) -> Network:
        """Makes the namespaces and the cable; gives the addresses the control plane has to use."""
        self._directory.mkdir()
        images.write(self._directory / "images.tar", real_node_needs.busybox())
        plan = self._directory / "plan.json"
        init = [sys.executable, "-I", "-S", str(_INIT), str(plan)]
        # The plan needs addresses, those need the namespace, so the first process waits for its plan, too.
        waiting = ["sh", "-c", f'until [ -e "{plan}" ]; do sleep 0.02; done; exec "$@"', "node-init", *init]
        command = ["unshare", *_NAMESPACES, "--fork", "--kill-child=KILL", "--mount-proc", *waiting]
        outer = self._processes.start("node", command)
        addresses = host_link.connect(self._processes.directory, self._first_process(outer))
        self._write_plan(plan, addresses)
        return Network(api_address=addresses.host, service_cidr=addresses.services)

    def wait(self, api: Api) -> None:
        """Until the kubelet has registered itself and finds everything in order."""
        self._processes.wait_until(
            lambda: node_is_ready(api, NODE_NAME), "ready node", timeout_s=_READY_S, expecting=("node",)
        )

    def _first_process(self, outer: int) -> int:
        found: list[int] = []

        def there() -> bool:
            found.extend(supervisor.children(outer))
            return bool(found)

        self._processes.wait_until(
            there, "first process of the node", timeout_s=_READY_S, expecting=("node",)
        )
        return found[0]

    def _write_plan(self, plan: Path, addresses: Range) -> None:
        settings = NodeSettings(
            name=NODE_NAME,
            directory=self._directory,
            addresses=addresses,
            cgroup=host_link.make_cgroups(self._processes.directory),
            kubeconfig=self._processes.directory / "admin.kubeconfig",
        )
        self._write_settings(settings)
        unfinished = plan.with_suffix(".new")
        unfinished.write_text(json.dumps(self._plan(settings)))
        unfinished.rename(plan)

    def _write_settings(self, settings: NodeSettings) -> None:
        (self._directory / "cni").mkdir()
        (self._directory / "cni" / "sandbox.conflist").write_text(json.dumps(node_settings.cni(settings)))
        (self._directory / "kubelet.json").write_text(json.dumps(node_settings.kubelet(settings)))
        (self._directory / "kube-proxy.json").write_text(json.dumps(node_settings.kube_proxy(settings)))
        toml = node_settings.containerd(settings, self._binaries["runc"], real_node_needs.CNI_PLUGINS)
        (self._directory / "containerd.toml").write_text(toml)

    def _plan(self, settings: NodeSettings) -> dict[str, Any]:
        socket = node_settings.CONTAINERD_SOCKET
        ctr = [str(self._binaries["ctr"]), f"--address={socket}", "--namespace=k8s.io"]
        return {
            "name": NODE_NAME,
            "directory": str(self._directory),
            "logs": str(self._processes.directory / "logs"),
            "interface": host_link.NODE_INTERFACE,
            "address": f"{settings.addresses.node}/24",
            "gateway": settings.addresses.host,
            "containerd": [str(self._binaries["containerd"]), f"--config={self._directory}/containerd.toml"],
            "socket": socket,
            "import": [*ctr, "images", "import", str(self._directory / "images.tar")],
            "wait_for": str(settings.kubeconfig),
            "programs": {"kubelet": self._kubelet(settings), "kube-proxy": self._kube_proxy()},
        }

    def _kubelet(self, settings: NodeSettings) -> list[str]:
        return [
            str(self._binaries["kubelet"]),
            f"--config={self._directory}/kubelet.json",
            f"--kubeconfig={settings.kubeconfig}",
            f"--root-dir={node_settings.KUBELET_ROOT}",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={settings.addresses.node}",
        ]

    def _kube_proxy(self) -> list[str]:
        return [str(self._binaries["kube-proxy"]), f"--config={self._directory}/kube-proxy.json"]
