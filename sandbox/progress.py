"""Tells a waiting person what is being built, since when, and about how long it all takes.

At a terminal one line is kept up to date; elsewhere (a pipe, a job's log) plain lines appear, at least one every half
minute, so nobody takes a long build for a dead one.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

_LIVE_S = 0.5
_PLAIN_S = 30.0


@dataclass(slots=True, kw_only=True)
class Progress:
    """One run of builds, `total` in all, expected to take about `about_s` seconds."""

    total: int
    about_s: int
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    _done: int = 0
    _started: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Shows `name` while the body runs; a body that raises does not count as done."""
        started = time.monotonic()
        live = self.stream.isatty()
        self._show(self._now(name), live=live)
        finished = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(name, finished, live), daemon=True)
        ticker.start()
        try:
            yield
        finally:
            finished.set()
            ticker.join()
        self._done += 1
        self._show(
            f"sandbox: built {name} ({self._done} of {self.total}) in {spell(time.monotonic() - started)}"
        )

    def say(self, text: str) -> None:
        """One plain line."""
        self._show(f"sandbox: {text}")

    def _now(self, name: str) -> str:
        elapsed = time.monotonic() - self._started
        return (
            f"sandbox: building {name} ({self._done + 1} of {self.total}), "
            f"{spell(elapsed)} elapsed of about {spell(max(self.about_s, elapsed))}"
        )

    def _tick(self, name: str, finished: threading.Event, live: bool) -> None:  # noqa: FBT001 - a thread's argument
        while not finished.wait(_LIVE_S if live else _PLAIN_S):
            self._show(self._now(name), live=live)

    def _show(self, text: str, *, live: bool = False) -> None:
        if live:
            self.stream.write(f"\r\x1b[K{text}")
        else:
            self.stream.write(f"\r\x1b[K{text}\n" if self.stream.isatty() else f"{text}\n")
        self.stream.flush()


def spell(seconds: float) -> str:
    """`3 min 05 s`, `12 s`: what a person reads at a glance."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
