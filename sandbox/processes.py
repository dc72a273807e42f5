"""The asking side of `sandbox.supervisor`: starts programs of a cluster, stops them, tells how they do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sandbox.errors import SandboxError

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_LAST_WORDS = 12
_END_S = 30.0


class Processes:
    """The programs of one cluster; leaving the context ends them and removes the directory.

    The environment given to each program is this process's own without proxies: the sandbox talks to itself.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = threading.Lock()
        # -I -S: the supervisor needs the standard library only, and starts in a few milliseconds.
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SUPERVISOR), str(directory), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def supervisor_pid(self) -> int:
        return self._supervisor.pid

    def start(
        self, name: str, argv: Sequence[str | Path], *, environment: Mapping[str, str] | None = None
    ) -> int:
        """Starts a program under a name that its log bears, too; the answer is its process id."""
        order = {"do": "start", "name": name, "argv": [str(word) for word in argv]}
        pid = self._ask(order | {"env": without_proxies() | dict(environment or {})})["pid"]
        return int(pid)

    def stop(self, name: str, number: int = signal.SIGTERM) -> int:
        """Sends a signal, waits for the end, and gives the exit code (negative: the signal)."""
        return int(self._ask({"do": "stop", "name": name, "signal": int(number)})["exit"])

    def alive(self) -> bool:
        """Whether the supervisor still runs."""
        return self._supervisor.poll() is None

    def exits(self) -> dict[str, int]:
        """The exit codes of the programs that ended."""
        found: dict[str, int] = self._ask({"do": "state"})["exits"]
        return found

    def wait_until(
        self, ready: Callable[[], bool], what: str, *, timeout_s: float, expecting: Sequence[str]
    ) -> None:
        """Waits for `ready`, and notices at once when one of the programs named in `expecting` ends instead.

        Raises:
            SandboxError: a program ended, or time ran out; the text holds its last words.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            ended = [name for name in self.exits() if name in expecting]
            if ended:
                raise SandboxError(
                    f"{ended[0]} ended before {what}; its last words:\n{self.last_words(ended[0])}"
                )
            if time.monotonic() > deadline:
                words = "\n".join(f"{name}: {self.last_words(name, lines=3)}" for name in expecting)
                raise SandboxError(f"no {what} within {timeout_s:g} s; last words:\n{words}")
            threading.Event().wait(0.02)

    def last_words(self, name: str, *, lines: int = _LAST_WORDS) -> str:
        """The end of a program's log."""
        log = self.directory / "logs" / f"{name}.log"
        text = log.read_text(errors="replace") if log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def end(self) -> None:
        """Ends everything and removes the directory; may be called twice."""
        for pipe in (self._supervisor.stdin, self._supervisor.stdout):
            if pipe is not None:
                pipe.close()
        self._supervisor.wait(_END_S)

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        if self._supervisor.stdin is None or self._supervisor.stdin.closed:
            raise SandboxError("this cluster was stopped")
        with self._lock:
            try:
                self._supervisor.stdin.write(json.dumps(order).encode() + b"\n")
                self._supervisor.stdin.flush()
            except BrokenPipeError as error:
                raise SandboxError(
                    "the supervisor of this cluster was killed, and the cluster with it"
                ) from error
            return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._supervisor.stdout is not None  # noqa: S101 - we asked for a pipe
        line = self._supervisor.stdout.readline()
        if not line:
            raise SandboxError("the supervisor of this cluster was killed, and the cluster with it")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SandboxError(f"the supervisor could not do it: {answer['error']}")
        return answer


def without_proxies() -> dict[str, str]:
    """This process's environment without proxies: the sandbox talks to itself."""
    proxies = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    return {name: value for name, value in os.environ.items() if name.lower() not in proxies}
