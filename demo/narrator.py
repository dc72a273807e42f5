"""Tells the story: headings, sentences, commands and what they printed, and at the end how long each chapter took."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

_WIDTH: Final = 96
_BOLD, _DIM, _GREEN, _END = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[0m"


class Narrator:
    """Writes for people; colours only where they see them."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._coloured = out.isatty()
        self._began = time.monotonic()
        self._chapters: list[tuple[str, float]] = []

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        """One part of the story; timed."""
        self._line(f"\n{self._paint(f'{len(self._chapters) + 1}. {title}', _BOLD)}")
        began = time.monotonic()
        yield
        self._chapters.append((title, time.monotonic() - began))

    def say(self, text: str) -> None:
        """A sentence or two between commands."""
        self._line(textwrap.fill(" ".join(text.split()), _WIDTH))

    def command(self, text: str) -> None:
        """A command as it is typed."""
        self._line(self._paint(f"$ {text}", _BOLD))

    def output(self, line: str, *, mark: str = " ") -> None:
        """A line that a command printed; the mark tells commands apart that print at the same time."""
        self._line(f"{self._paint(mark, _DIM)} {line.rstrip()}")

    def show(self, text: str) -> None:
        """A block as it stands: a file's content, a list of commands to try."""
        for line in text.rstrip().splitlines():
            self._line(f"    {line}".rstrip())

    def summary(self) -> None:
        """What was shown, and how long it took."""
        total_s = time.monotonic() - self._began
        self._line(f"\n{self._paint('All of it worked.', _BOLD + _GREEN)}")
        for title, seconds in self._chapters:
            self._line(f"  {seconds:6.1f} s  {title}")
        self._line(f"  {total_s:6.1f} s  altogether")

    def _paint(self, text: str, style: str) -> str:
        return f"{style}{text}{_END}" if self._coloured else text

    def _line(self, text: str) -> None:
        print(text, file=self._out, flush=True)
