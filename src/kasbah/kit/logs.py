"""Logs are events with names: a constant lower-case phrase and fields.

JSON lines when the output is a file or a container, columns at a terminal; always on stderr, so stdout stays free
for what a program prints. Everything passes `secrets.scrub` last.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, Literal

import structlog

from kasbah.kit.secrets import scrub

Level = Literal["debug", "info", "warn", "error"]

LEVELS: Final[Mapping[Level, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_MAX_VALUE = 8192


def _scrub_values(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = scrub(value[:_MAX_VALUE])
        elif isinstance(value, BaseException):
            event[key] = scrub(str(value)[:_MAX_VALUE])
    return event


def _show_controls(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """What strangers say must not steer the terminal; JSON escapes by itself."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable() and key != "exception":
            event[key] = repr(value)[1:-1]
    return event


def configure(level: Level = "info", *, json_lines: bool | None = None) -> None:
    """Set the process' logging up, once, from a program's entry point.

    Args:
        level: GitLab's names of the levels.
        json_lines: one JSON object a line; by default whenever stderr is not a terminal.
    """
    if json_lines is None:
        json_lines = not sys.stderr.isatty()
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.JSONRenderer()]
        if json_lines
        else [_show_controls, structlog.dev.ConsoleRenderer(colors=True)]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _scrub_values,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
