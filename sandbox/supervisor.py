"""The parent of everything a cluster runs, and the one that ends it all, whatever happened to whoever asked for it.

It runs as a script of its own (standard library only), takes orders as JSON lines on its standard input, and answers each
with a JSON line. It ends the cluster when that input closes, when the process that started it is gone (kill -9 included),
or at SIGTERM. As the subreaper of its descendants it adopts whatever loses its parent, so ending means: kill children
until there are none. Should it be killed itself, the kernel kills its children (PR_SET_PDEATHSIG), and the next start
or `python -m sandbox down` removes the directory.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LOCK = "supervisor.lock"
_LEFTOVERS = "leftovers"
_TICK_S = 0.5


class Supervisor:
    """The children of one cluster, by name."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pids: dict[str, int] = {}
        self._exits: dict[str, int] = {}

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carries out one order; a failure is an answer, too."""
        try:
            match order["do"]:
                case "start":
                    return {"pid": self._start(order)}
                case "stop":
                    return {"exit": self._stop(order["name"], order["signal"])}
                case "state":
                    self.reap()
                    return {"exits": self._exits}
                case other:
                    return {"error": f"unknown order {other!r}"}
        except OSError as error:
            return {"error": f"{order.get('name', order['do'])}: {error}"}

    def reap(self) -> None:
        """Collects whoever ended, adopted ones included."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._note(pid, status)

    def end(self) -> None:
        """Kills children until there are none; what they leave to us dies in the next round."""
        while found := children(os.getpid()):
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                self._note(*os.waitpid(-1, 0))

    def _start(self, order: dict[str, Any]) -> int:
        log = self._directory / "logs" / f"{order['name']}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as output:
            child = subprocess.Popen(
                order["argv"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=order["env"],
                cwd=self._directory,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - this process has one thread
            )
        child.returncode = 0  # reap() collects it, not subprocess
        self._pids[order["name"]] = child.pid
        self._exits.pop(order["name"], None)
        return child.pid

    def _stop(self, name: str, number: int) -> int:
        pid = self._pids[name]
        if name not in self._exits:
            os.kill(pid, number)
            self._note(*os.waitpid(pid, 0))
        return self._exits[name]

    def _note(self, pid: int, status: int) -> None:
        for name, known in self._pids.items():
            if known == pid:
                self._exits[name] = os.waitstatus_to_exitcode(status)


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def children(parent: int) -> list[int]:
    """The processes whose parent is `parent`, dead ones not yet reaped included."""
    wanted = str(parent)
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The name, in parentheses, may hold anything; the state and the parent follow it.
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                if fields[1] == wanted:
                    found.append(int(entry.name))
    return found


def note_leftover(directory: Path, kind: str, name: str) -> None:
    """Writes down, before it is made, what has to be removed after the last process: `cgroups` or `links`."""
    with (directory / _LEFTOVERS).open("a") as output:
        output.write(f"{kind} {name}\n")


def clean(directory: Path) -> None:
    """Removes what a dead cluster left: its control groups and links, then its directory."""
    with contextlib.suppress(FileNotFoundError):
        for line in (directory / _LEFTOVERS).read_text().splitlines():
            kind, _, name = line.partition(" ")
            if kind == "cgroups":
                _remove_cgroup(Path(name))
            else:
                subprocess.run(["ip", "link", "delete", name], capture_output=True, check=False)
    shutil.rmtree(directory, ignore_errors=True)


def _remove_cgroup(path: Path) -> None:
    for _ in range(50):  # the kernel needs a moment after the last process
        for inner, _directories, _files in os.walk(path, topdown=False):
            with contextlib.suppress(OSError):
                Path(inner).rmdir()
        if not path.exists():
            return
        threading.Event().wait(0.05)


def sweep(clusters: Path) -> list[str]:
    """Removes the directories of clusters whose supervisor is gone; names them."""
    removed = []
    for directory in clusters.iterdir():
        lock = directory / _LOCK
        with contextlib.suppress(OSError), lock.open("r+") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            clean(directory)
            removed.append(directory.name)
    return removed


def alive(directory: Path) -> bool:
    """Whether a supervisor holds this cluster."""
    try:
        with (directory / _LOCK).open("r+") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def claim(directory: Path) -> IO[str]:
    """Marks the directory as alive for as long as the returned file is open in this process."""
    unnamed = directory / f"{_LOCK}.new"  # locked before it gets its name, so a sweep never finds it free
    held = unnamed.open("w")
    fcntl.flock(held, fcntl.LOCK_EX)
    unnamed.rename(directory / _LOCK)
    return held


def _orders(parent: int, orders: IO[bytes], supervisor: Supervisor) -> None:
    """Until the orders end or the parent does."""
    watched = selectors.DefaultSelector()
    watched.register(orders, selectors.EVENT_READ)
    with contextlib.suppress(ProcessLookupError):
        watched.register(os.pidfd_open(parent), selectors.EVENT_READ)
    while os.getppid() == parent:
        for key, _events in watched.select(_TICK_S):
            if key.fileobj is not orders:
                return
            line = orders.readline()
            if not line:
                return
            print(json.dumps(supervisor.obey(json.loads(line))), flush=True)
        supervisor.reap()


def main(directory: Path, parent: int) -> None:
    """Runs until the cluster has to end, then ends it and removes its directory."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    supervisor = Supervisor(directory)
    held = claim(directory)
    print(json.dumps({"ready": os.getpid()}), flush=True)
    try:
        # Unbuffered, so that select() sees what readline() has not taken.
        with open(0, "rb", buffering=0) as orders:
            _orders(parent, orders, supervisor)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        supervisor.end()
        clean(directory)
        held.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
