"""How an explanation stands below a failure's own text: aligned rows, readable in a terminal.

The text of whoever refused stays the first line, whole; machines read it. kubectl prints what follows as it is.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

_WIDTH: Final = 100
_MAX_VALUE_CHARACTERS: Final = 2000


def below(text: str, *blocks: str) -> str:
    """The text with blocks below it, an empty line between each two; empty blocks are left out."""
    return "\n\n".join([text, *(block for block in blocks if block)])


def rows(pairs: Sequence[tuple[str, str]]) -> str:
    """Label and value, a row each, values under each other; rows without a value are left out."""
    told = [(label, printable(value)) for label, value in pairs if value]
    width = max((len(label) for label, _ in told), default=0) + 2
    return "\n".join(line for label, value in told for line in _lines(label, value, width))


def printable(text: str) -> str:
    """Without what a terminal would obey, and not endless."""
    kept = "".join(c if c.isprintable() else "?" for c in text[:_MAX_VALUE_CHARACTERS])
    return kept if len(text) <= _MAX_VALUE_CHARACTERS else kept + "…"


def _lines(label: str, value: str, width: int) -> list[str]:
    return textwrap.wrap(
        value,
        _WIDTH,
        initial_indent=label.ljust(width),
        subsequent_indent=" " * width,
        break_long_words=False,
        break_on_hyphens=False,
    )
