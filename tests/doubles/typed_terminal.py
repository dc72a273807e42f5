"""A terminal for the command line's tests: three streams in memory, an environment, and a GitLab made up."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kasbah.cli.__main__ import run
from kasbah.cli.terminal import Terminal
from tests.doubles.fake_gitlab import TOKEN, URL, FakeGitlab


class TerminalText(io.StringIO):
    """A stream that somebody looks at, or types into."""

    def isatty(self) -> bool:
        return True


@dataclass
class TypedTerminal:
    """Runs commands and keeps what they said."""

    home: Path
    gitlab: FakeGitlab = field(default_factory=FakeGitlab)
    typed: str = ""
    """What the person types; empty: there is no person."""
    logged_in: bool = True
    watched: bool = False
    """Whether stdout is a terminal."""
    environ: Mapping[str, str] = field(default_factory=dict)
    out: str = ""
    err: str = ""

    def __call__(self, *arguments: str) -> int:
        """Run one command; its exit code."""
        stdout, stderr = (TerminalText() if self.watched else io.StringIO()), io.StringIO()
        terminal = Terminal(
            environ=self._environment(),
            stdin=TerminalText(self.typed) if self.typed else io.StringIO(),
            stdout=stdout,
            stderr=stderr,
            transport=self.gitlab,
        )
        code = run(arguments, terminal)
        self.out, self.err = stdout.getvalue(), stderr.getvalue()
        return code

    def _environment(self) -> dict[str, str]:
        login = {"KASBAH_URL": URL, "KASBAH_TOKEN": TOKEN} if self.logged_in else {}
        return {"HOME": str(self.home), **login, **self.environ}
