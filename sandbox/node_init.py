"""The first process of a real node: in namespaces of its own it sets the stage, starts the node's programs, and reaps.

It runs as a script of its own (standard library only). When it ends, however it ends, the kernel ends everything in its
process namespace and takes back its mounts and its end of the cable; that is why nothing of a node is left behind. It
ends when one of the node's programs does, after repeating that program's last words.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

_PAUSE_S = 0.02
_LAST_WORDS = 12


class Node:
    """What one node runs.

    `plan` is written by `sandbox.real_node`: name, directory, logs, interface, address, gateway, images, containerd,
    import, and programs, which start once `wait_for` exists.
    """

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._directory = Path(plan["directory"])
        self._names: dict[int, str] = {}

    def run(self) -> str:
        """Runs the node until one of its programs ends; says which."""
        socket.sethostname(self._plan["name"])
        self._cover_directories()
        self._bring_up_network()
        self._start("containerd", self._plan["containerd"])
        self._await(Path(self._plan["socket"]))
        subprocess.run(self._plan["import"], check=True)
        self._await(Path(self._plan["wait_for"]))
        for name, argv in self._plan["programs"].items():
            self._start(name, argv)
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid in self._names:
                return self._obituary(self._names[pid], os.waitstatus_to_exitcode(status))

    def _cover_directories(self) -> None:
        """The places that programs insist on writing to become ours; the machine's own stay untouched."""
        for place in ("/var/lib", "/var/log"):
            ours = self._directory / place.replace("/", "-").strip("-")
            ours.mkdir()
            subprocess.run(["mount", "--bind", ours, place], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)

    def _bring_up_network(self) -> None:
        """Waits for the host to hand in the cable, then gives our end its address."""
        interface = self._plan["interface"]
        _ip("link", "set", "lo", "up")
        while subprocess.run(["ip", "link", "show", interface], capture_output=True, check=False).returncode:
            threading.Event().wait(_PAUSE_S)
        _ip("address", "add", self._plan["address"], "dev", interface)
        _ip("link", "set", interface, "up")
        _ip("route", "add", "default", "via", self._plan["gateway"])
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def _start(self, name: str, argv: list[str]) -> None:
        with self._log(name).open("ab") as output:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self._directory
            )
        child.returncode = 0  # run() collects it, not subprocess
        self._names[child.pid] = name

    def _await(self, path: Path) -> None:
        while not path.exists():
            pid, status = os.waitpid(-1, os.WNOHANG) if self._names else (0, 0)
            if pid in self._names:
                sys.exit(self._obituary(self._names[pid], os.waitstatus_to_exitcode(status)))
            threading.Event().wait(_PAUSE_S)

    def _obituary(self, name: str, code: int) -> str:
        words = self._log(name).read_text(errors="replace").splitlines()[-_LAST_WORDS:]
        return "\n".join([f"{name} ended with {code}:", *words])

    def _log(self, name: str) -> Path:
        return Path(self._plan["logs"]) / f"{name}.log"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


if __name__ == "__main__":
    sys.exit(Node(json.loads(Path(sys.argv[1]).read_text())).run())
