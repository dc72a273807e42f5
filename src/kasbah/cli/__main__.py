"""`kasbah`: parse, run, and turn whatever went wrong into one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, Final

from cyclopts import CycloptsError

from kasbah.cli.app import build_app
from kasbah.cli.errors import UsageError, exit_code
from kasbah.cli.terminal import Terminal
from kasbah.errors import KasbahError
from kasbah.kit.secrets import scrub

_INTERRUPTED: Final = 130


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:], Terminal(environ=os.environ)))


def run(arguments: Sequence[str], terminal: Terminal) -> int:
    """One command; returns its exit code."""
    try:
        _dispatch(arguments, terminal)
        terminal.stdout.flush()
    except KasbahError as error:
        terminal.hint(f"kasbah: {scrub(str(error))}")
        return exit_code(error)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has enough (`| head`); Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        terminal.hint(f"kasbah: {scrub(str(error))}")
        return 1
    return 0


def _dispatch(arguments: Sequence[str], terminal: Terminal) -> None:
    app = build_app()
    try:
        command, bound, ignored = app.parse_args(list(arguments))
    except CycloptsError as error:
        where = " ".join(["kasbah", *(error.command_chain or ())])
        raise UsageError(f"{' '.join(str(error).split())} (see `{where} --help`)") from error
    given: dict[str, Any] = {name: terminal for name, kind in ignored.items() if kind is Terminal}
    command(*bound.args, **bound.kwargs, **given)


if __name__ == "__main__":
    main()
