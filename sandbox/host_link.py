"""The host's side of a real node: a cable (veth) into its network namespace, routes to its pods, its control groups.

All of it is written down before it is made, so that the supervisor or a later sweep can remove it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox import address_range, places, supervisor
from sandbox.address_range import Range
from sandbox.errors import CannotRunError, SandboxError

NODE_INTERFACE = "eth0"


def connect(directory: Path, node_pid: int) -> Range:
    """Lays the cable to the namespace of `node_pid` and gives the addresses chosen.

    Raises:
        CannotRunError: every private range is in use.
    """
    with _one_at_a_time():
        found = address_range.free(_taken(), random.Random())  # noqa: S311 - which range, not a secret
        if found is None:
            raise CannotRunError("no private address range is free on this machine (10.x/16, 172.16-31/16)")
        link = f"kb-{directory.name}"[:15]
        supervisor.note_leftover(directory, "links", link)
        _ip("link", "add", link, "type", "veth", "peer", "name", NODE_INTERFACE, "netns", str(node_pid))
        _ip("address", "add", f"{found.host}/24", "dev", link)
        _ip("link", "set", link, "up")
        for inner in (found.pods, found.services):
            _ip("route", "add", inner, "via", found.node, "dev", link)
    return found


def make_cgroups(directory: Path) -> str:
    """Makes a control group of the cluster's own in every hierarchy; gives its name as the kubelet wants it."""
    name = f"kasbah-sandbox-{directory.name}"
    for hierarchy in _hierarchies():
        group = hierarchy / name
        supervisor.note_leftover(directory, "cgroups", str(group))
        group.mkdir()
        for file in ("cpuset.cpus", "cpuset.mems"):
            # In the first version of control groups a new cpuset is empty, and nothing may run in it.
            with contextlib.suppress(OSError):
                (group / file).write_text((hierarchy / file).read_text())
        with contextlib.suppress(OSError):
            wanted = " ".join(f"+{word}" for word in (group / "cgroup.controllers").read_text().split())
            (group / "cgroup.subtree_control").write_text(wanted)
    return f"/{name}"


def _hierarchies() -> Iterator[Path]:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _device, place, kind, *_ = line.split()
        if kind in {"cgroup", "cgroup2"}:  # a machine may have both
            yield Path(place)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with (places.clusters() / ".network-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _taken() -> Iterator[address_range.Network]:
    yield from address_range.routed(json.loads(_ip("-json", "-4", "route", "show", "table", "all")))
    with contextlib.suppress(OSError):
        yield from address_range.name_servers(Path("/etc/resolv.conf").read_text())


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SandboxError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
