"""Parameters that many commands share, each with its one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kasbah.cli.terminal import OutputFormat, Terminal


def _telling(default: object) -> object:
    """A default worth showing: an empty one says nothing."""
    return ", ".join(map(str, default)) if isinstance(default, tuple) else default or None


ANY_PARAMETER = Parameter(show_default=_telling)
"""What holds for every parameter."""

Here = Annotated[Terminal, Parameter(parse=False)]
"""Given by the program, not by the person."""

Output = Annotated[
    OutputFormat,
    Parameter(
        name=["--output", "-o"], help="table for people; json and yaml as the API says it; name for scripts."
    ),
]
InProject = Annotated[
    str, Parameter(name=["--project", "-p"], help="The project: its path (ops/fleet) or its id.")
]
AgentName = Annotated[str, Parameter(name=["--agent", "-a"], help="Its name or id.")]
"""By position or, as for glab, by name."""
TokenFileOut = Annotated[
    Path | None,
    Parameter(
        name=["--token-file-out", "--token-file"],
        help="Write the token to this file, readable by you only, instead of the terminal.",
    ),
]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask.")]
