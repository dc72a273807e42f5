"""What one look at one hop is, and what comes out of it.

A fault carries a short name (`tls-expired`) that never changes: machines and the table of faults go by it. What was
seen and what to change are for people.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kasbah.errors import PeerError


class Verdict(enum.Enum):
    """How one look ended."""

    OK = "ok"
    WARNING = "warning"
    """It works, and somebody should know something."""
    FAULT = "fault"
    SKIPPED = "skipped"
    """Not looked at, because something it stands on is at fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a look has seen when the hop works."""

    seen: str
    warning: str = ""
    """The name of what somebody should know; empty: all is well."""
    advice: str = ""
    details: tuple[str, ...] = ()


class FaultError(PeerError):
    """The hop does not work.

    Attributes:
        fault: its name.
        advice: what to change.
        details: more lines for people, such as a manifest to apply.
    """

    def __init__(self, fault: str, seen: str, advice: str, details: tuple[str, ...] = ()) -> None:
        super().__init__(seen)
        self.fault = fault
        self.advice = advice
        self.details = details


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One look, not taken yet."""

    name: str
    """`kas.tls`: what is looked at, and which part of it."""
    doing: str
    """What a person reads meanwhile."""
    look: Callable[[], Awaitable[Finding]]
    """Raises `FaultError`, or any error of ours or of the system."""
    needs: tuple[str, ...] = ()
    """Names of checks without which this one says nothing new."""
    limit_s: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One look, taken or skipped."""

    name: str
    doing: str
    verdict: Verdict
    seen: str
    fault: str = ""
    """The name of the fault or warning."""
    advice: str = ""
    details: tuple[str, ...] = ()
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """All looks in their order."""

    results: tuple[Result, ...]

    @property
    def first_fault(self) -> Result | None:
        return next((result for result in self.results if result.verdict is Verdict.FAULT), None)
