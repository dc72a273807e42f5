"""What a command stands on: the environment, the three streams, and the host it talks to.

Commands receive it as an argument and touch nothing of the process themselves, so a test gives them streams and a
transport of its own. Rich is loaded only when somebody looks at the output.
"""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TextIO

from kasbah.cli import hosts
from kasbah.cli.errors import UsageError

if TYPE_CHECKING:
    import httpx2

    from kasbah.cli.api_client import ApiClient
    from kasbah.cli.hosts import Host

OutputFormat = Literal["table", "json", "yaml", "name"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table."""

    title: str
    render: Callable[[Mapping[str, object]], object]


def text_of(key: str) -> Callable[[Mapping[str, object]], object]:
    """Reads one field of an object for a column."""
    return lambda item: item.get(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """One invocation's surroundings."""

    environ: Mapping[str, str]
    stdin: TextIO = field(default_factory=lambda: sys.stdin)
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    transport: httpx2.BaseTransport | None = None
    """Instead of the network, in tests."""

    def host(self) -> Host:
        """The host that commands talk to, with the token for it."""
        return hosts.resolve(self.environ)

    def connect(self, host: Host | None = None) -> ApiClient:
        """A client of that host's API."""
        from kasbah.cli.api_client import ApiClient  # 200 ms that `--help` does not need

        return ApiClient(host or self.host(), self.transport)

    def say(self, text: str) -> None:
        """A result, on stdout."""
        print(text, file=self.stdout)

    def hint(self, text: str) -> None:
        """Something for a person and not for a pipe, on stderr."""
        print(text, file=self.stderr)

    def ask_secret(self, question: str) -> str:
        """A secret typed by a person, not echoed."""
        if not self.stdin.isatty():
            raise UsageError("there is no terminal to ask for the token; give --token-file or --token-stdin")
        return getpass.getpass(question, stream=self.stderr)

    def confirm(self, deed: str, *, yes: bool) -> None:
        """Go on only when the person agrees to the deed; without a terminal `--yes` is needed."""
        if yes:
            return
        if not self.stdin.isatty():
            raise UsageError(f"to {deed} without a terminal, give --yes")
        print(f"{deed[0].upper()}{deed[1:]}? [y/N] ", end="", file=self.stderr, flush=True)
        if self.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise UsageError("nothing was changed")

    def show(
        self,
        found: Sequence[Mapping[str, object]] | Mapping[str, object],
        output: OutputFormat,
        columns: Sequence[Column],
        *,
        name: str = "name",
    ) -> None:
        """One object or many, as asked for; `name` is the key that `-o name` prints."""
        many: Sequence[Mapping[str, object]] = [found] if isinstance(found, Mapping) else found
        if output == "json":
            self.say(json.dumps(found, indent=2, ensure_ascii=False))
        elif output == "yaml":
            self.say(_yaml(found))
        elif output == "name":
            self._lines(str(item[name]) for item in many)
        elif self.stdout.isatty():
            self._rich_table(many, columns)
        else:
            self._lines(_plain_table(many, columns))

    def _lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.say(line)

    def _rich_table(self, items: Sequence[Mapping[str, object]], columns: Sequence[Column]) -> None:
        from rich.console import Console  # only when somebody looks
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column.title, overflow="fold")
        for item in items:
            table.add_row(*(Text(_cell(column.render(item))) for column in columns))
        Console(file=self.stdout).print(table)


def _plain_table(items: Sequence[Mapping[str, object]], columns: Sequence[Column]) -> Iterable[str]:
    rows = [[column.title for column in columns]]
    rows += [[_cell(column.render(item)) for column in columns] for item in items]
    widths = [max(len(row[index]) for row in rows) for index in range(len(columns))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cell(value: object) -> str:
    """A cell's text: no control characters, because names come from strangers and terminals obey escapes."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _yaml(found: object) -> str:
    import yaml  # only for -o yaml

    return yaml.safe_dump(found, sort_keys=False, allow_unicode=True).rstrip()
