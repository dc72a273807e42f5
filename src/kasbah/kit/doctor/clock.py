"""Whether two clocks agree, as far as a `Date` header can tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from kasbah.kit.doctor.check import FaultError, Finding

_TOLERANCE: Final = timedelta(seconds=60)


def compare(date: str, now: datetime, where: str) -> Finding:
    """What the header says about the two clocks.

    Raises:
        FaultError: they are more than a minute apart.
    """
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return Finding(seen=f"{where} does not say its time")
    theirs = theirs.replace(tzinfo=UTC) if theirs.tzinfo is None else theirs
    skew = now - theirs
    if abs(skew) <= _TOLERANCE:
        return Finding(seen=f"this clock and that of {where} agree")
    side = "ahead of" if skew > timedelta() else "behind"
    raise FaultError(
        "clock-skew",
        f"this clock is {_span(abs(skew))} {side} that of {where}",
        "set both by NTP: certificates, tokens and leases go by the time",
    )


def _span(span: timedelta) -> str:
    seconds = round(span.total_seconds())
    if seconds < 2 * 3600:
        return f"{seconds // 60} minutes" if seconds >= 120 else f"{seconds} seconds"
    return f"{seconds // 3600} hours" if seconds < 48 * 3600 else f"{seconds // 86400} days"
