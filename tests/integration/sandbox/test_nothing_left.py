"""Whatever happens to whoever started a cluster, nothing of it stays: no process, namespace, link, mount, group, file."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import sandbox
from sandbox import places, supervisor

_HOLDER = """
import json, sys, sandbox
with sandbox.control_plane(sys.argv[1]) as cluster:
    cluster.kubectl("run", "left", "--image=" + sandbox.IMAGE, "--image-pull-policy=Never")
    cluster.kubectl("wait", "pod/left", "--for=condition=Ready", "--timeout=40s")
    print(json.dumps([cluster.supervisor_pid, str(cluster.directory)]), flush=True)
    sys.stdin.read()
    raise SystemExit("the holder failed")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A cluster that another process holds, with one pod in it."""

    holder: subprocess.Popen[str]
    supervisor_pid: int
    directory: Path
    namespaces: frozenset[str]


@contextlib.contextmanager
def _held(node: str) -> Iterator[Held]:
    reason = sandbox.why_not("real" if node == "real" else "kwok")
    if reason is not None:
        pytest.skip(reason)
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, node], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        pid, directory = json.loads(holder.stdout.readline())
        new = frozenset(_namespaces(_descendants(pid)) - _namespaces([os.getpid()]))
        yield Held(holder=holder, supervisor_pid=pid, directory=Path(directory), namespaces=new)
        holder.kill()


def _namespaces(pids: Iterable[int]) -> set[str]:
    """The namespaces these processes live in."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            found |= {str(link.readlink()) for link in Path(f"/proc/{pid}/ns").iterdir()}
    return found


def _descendants(pid: int) -> list[int]:
    mine = supervisor.children(pid)
    return mine + [inner for child in mine for inner in _descendants(child)]


def _everybody() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _remains(held: Held) -> list[str]:
    """What is still there of a cluster; an empty list is the wish."""
    name = held.directory.name
    found = [f"directory {held.directory}"] if held.directory.exists() else []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(held.directory).encode() in command.read_bytes():
                found.append(f"process {command.parent.name}")
    found += [f"mount {line}" for line in Path("/proc/self/mounts").read_text().splitlines() if name in line]
    found += [f"link {link.name}" for link in Path("/sys/class/net").iterdir() if name in link.name]
    found += [f"group {group}" for group in Path("/sys/fs/cgroup").glob(f"*/kasbah-sandbox-{name}")]
    return found + sorted(held.namespaces & _namespaces(_everybody()))


def _soon(nothing: Callable[[], list[str]], timeout_s: float = 10.0) -> list[str]:
    deadline = time.monotonic() + timeout_s
    while (found := nothing()) and time.monotonic() < deadline:
        threading.Event().wait(0.1)
    return found


_NODES = pytest.mark.parametrize(
    "node",
    [pytest.param("kwok", marks=pytest.mark.cluster), pytest.param("real", marks=pytest.mark.real_node)],
)


@_NODES
def test_kill_9_of_the_holder_leaves_nothing(node: str) -> None:
    with _held(node) as held:
        held.holder.send_signal(signal.SIGKILL)
        assert _soon(lambda: _remains(held)) == []


@_NODES
def test_an_exception_in_the_holder_leaves_nothing(node: str) -> None:
    with _held(node) as held:
        held.holder.communicate("")
        assert held.holder.returncode == 1
        assert _remains(held) == []


@_NODES
def test_kill_9_of_the_supervisor_leaves_a_directory_that_the_next_sweep_removes(node: str) -> None:
    with _held(node) as held:
        os.kill(held.supervisor_pid, signal.SIGKILL)
        left = _soon(
            lambda: [
                one for one in _remains(held) if one.startswith(("process", "mount", "mnt", "net", "pid"))
            ]
        )
        supervisor.sweep(places.clusters())
        assert (left, _soon(lambda: _remains(held))) == ([], [])


@pytest.mark.cluster
def test_sigterm_of_the_supervisor_ends_the_cluster() -> None:
    with _held("kwok") as held:
        os.kill(held.supervisor_pid, signal.SIGTERM)
        assert _soon(lambda: _remains(held)) == []
