"""A real node: kubelet, containerd, runc, CNI and kube-proxy in namespaces of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sandbox.api import Api
from sandbox.errors import CannotRunError
from sandbox.plane import Network
from sandbox.processes import Processes


class RealNode:
    """Being built."""

    def __init__(self, processes: Processes, binaries: Mapping[str, Path]) -> None:
        raise CannotRunError("real nodes are not built yet")

    def start(self) -> None: ...

    def network(self) -> Network:
        return Network()

    def wait(self, api: Api) -> None: ...
