"""A person's shell, as the story needs it: commands run in a home of their own, some of them in the background.

Every process started here ends with the demo, however that ends: in order when it can, by the kernel when the demo is
killed.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final

from demo.errors import StoryError
from demo.narrator import Narrator
from kasbah.kit.secrets import scrub

_COMMAND_TIMEOUT_S: Final = 90
_STOP_TIMEOUT_S: Final = 15


def _argv(script: str) -> list[str]:
    """A shell command that the kernel ends with us, where it can be asked to (util-linux, so nearly everywhere)."""
    shell = ["/bin/sh", "-c", script]
    return ["setpriv", "--pdeathsig", "TERM", *shell] if shutil.which("setpriv") else shell


class Background:
    """A command with `&` behind it; its lines are kept, and shown as they come when somebody wants to see them."""

    def __init__(self, name: str, command: str, home: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self.log = home / f"{name}.log"
        self._show: Callable[[str], None] | None = None
        self._arrived = threading.Condition()
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            _argv(f"exec {command}"),
            cwd=home,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log.open("ab"),
        )
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()

    def show_with(self, show: Callable[[str], None]) -> None:
        """Show each line from now on."""
        self._show = show

    def wait_for(self, wanted: Callable[[str], bool], timeout_s: float) -> str:
        """The first line that is wanted, among those printed already or still to come."""
        deadline = time.monotonic() + timeout_s
        with self._arrived:
            while True:
                for line in self.lines:
                    if wanted(line):
                        return line
                left_s = deadline - time.monotonic()
                if self._process.poll() is not None or left_s <= 0:
                    raise StoryError(self._complaint())
                self._arrived.wait(min(left_s, 0.2))

    def check(self) -> None:
        """Raise when it has ended."""
        if self._process.poll() is not None:
            raise StoryError(self._complaint())

    def stop(self) -> None:
        """SIGTERM, then a grace time, then SIGKILL."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tail(self, lines: int = 15) -> str:
        """The end of its log, without secrets."""
        if not self.log.exists():
            return ""
        return scrub("\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]))

    def _read(self, stream: IO[bytes] | None) -> None:
        for raw in stream or ():
            line = raw.decode(errors="replace").rstrip("\n")
            with self._arrived:
                self.lines.append(line)
                if self._show:
                    self._show(line)
                self._arrived.notify_all()

    def _complaint(self) -> str:
        code = self._process.poll()
        what = "did not do what was waited for" if code is None else f"ended with exit code {code}"
        return f"{self.name} {what}; it printed:\n" + "\n".join(self.lines[-10:]) + f"\n{self.tail()}"


class Shell:
    """Runs commands in the demo's home and shows them."""

    def __init__(self, narrator: Narrator, home: Path, environ: Mapping[str, str]) -> None:
        self.home = home
        self.environ = dict(environ)
        self._narrator = narrator
        self._background: list[Background] = []

    def run(self, command: str, *, shown: bool = True) -> str:
        """Run a command to its end, show it and what it prints; gives its output.

        Raises:
            StoryError: it failed, or took too long.
        """
        if shown:
            self._narrator.command(command)
        process = subprocess.Popen(
            _argv(command),
            cwd=self.home,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        printed = self._read_to_the_end(process, shown=shown)
        if process.returncode:
            raise StoryError(
                f"`{command}` ended with exit code {process.returncode}:\n{scrub(printed.rstrip())}"
            )
        return printed

    def _read_to_the_end(self, process: subprocess.Popen[bytes], *, shown: bool) -> str:
        deadline = time.monotonic() + _COMMAND_TIMEOUT_S
        printed: list[str] = []
        with process:
            assert process.stdout is not None  # noqa: S101 - we asked for a pipe
            while True:
                ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
                if not ready:
                    process.kill()
                    raise StoryError(f"a command did not end in {_COMMAND_TIMEOUT_S} s:\n" + "".join(printed))
                line = process.stdout.readline().decode(errors="replace")
                if not line:
                    return "".join(printed)
                printed.append(line)
                if shown:
                    self._narrator.output(line)

    def start(self, name: str, command: str) -> Background:
        """Run a command in the background; it ends with `stop`."""
        self._narrator.command(f"{command} &")
        started = Background(name, command, self.home, self.environ)
        self._background.append(started)
        return started

    def stop(self) -> None:
        """End what runs in the background, the newest first."""
        while self._background:
            self._background.pop().stop()

    def logs(self) -> str:
        """The ends of the logs of what runs in the background."""
        tails = ((one.log, one.tail()) for one in self._background)
        return "\n".join(f"--- {log}\n{tail}" for log, tail in tails if tail)


def search_path(*directories: Path) -> str:
    """A PATH with these first."""
    return os.pathsep.join([*map(str, directories), os.environ.get("PATH", "/usr/bin:/bin")])
