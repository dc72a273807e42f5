"""Lines of an asciicast, version 2: a header, then an event a line, seconds since the beginning first."""

from __future__ import annotations

import json
from typing import Final, Literal

import msgspec

Kind = Literal["o", "i", "r", "m"]
"""Output, input, resize, marker."""
WIDTH, HEIGHT = 80, 24
"""What is said of a terminal whose size nobody told."""
_MAX_TITLE: Final = 1000


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What the header says besides the size."""

    timestamp: int
    """Seconds since 1970."""
    title: str
    command: str


def header(about: About, width: int, height: int) -> bytes:
    """The first line."""
    return _line(
        {
            "version": 2,
            "width": width,
            "height": height,
            "timestamp": about.timestamp,
            "title": about.title[:_MAX_TITLE],
            "command": about.command[:_MAX_TITLE],
        }
    )


def event(seconds: float, kind: Kind, text: str) -> bytes:
    """One more line."""
    return _line([round(seconds, 6), kind, text])


def _line(value: object) -> bytes:
    """ASCII alone: whoever prints the file prints nothing that a terminal obeys."""
    return json.dumps(value).encode() + b"\n"
