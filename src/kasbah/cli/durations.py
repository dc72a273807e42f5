"""Durations as Go programs write them (`24h`, `1h30m0s`), because kubeconfigs are shared with glab's users.

Loaded by the kubectl credential plugin: the standard library's small parts only.
"""

from __future__ import annotations

import re
from datetime import timedelta

from kasbah.cli.errors import UsageError

_PART = re.compile(r"(\d+(?:\.\d+)?)(d|h|m|s)")
_LONGEST = timedelta(days=36500)
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def parse_duration(text: str) -> timedelta:
    """A duration of days, hours, minutes and seconds."""
    if not re.fullmatch(f"(?:{_PART.pattern})+", text) or len(text) > 32:
        raise UsageError(f"{text!r} is not a duration; write it like 24h, 36h30m or 7d")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if seconds > _LONGEST.total_seconds():
        raise UsageError(f"{text!r} is longer than a century; write something like 24h")
    return timedelta(seconds=seconds)


def render_duration(duration: timedelta) -> str:
    """The duration as Go prints it: `24h0m0s`."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    return f"{minutes // 60}h{minutes % 60}m{seconds}s"
