"""A report for people, line by line while it happens, and for machines, at the end.

What strangers say stands in it, so control characters are replaced; everything shaped like a credential, and every
secret it is given, is masked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

from kasbah.kit.doctor.check import Check, Report, Result, Verdict
from kasbah.kit.secrets import Secret, scrub

_WORDS: Final = {
    Verdict.OK: "ok",
    Verdict.WARNING: "warn",
    Verdict.FAULT: "FAIL",
    Verdict.SKIPPED: "skip",
}
_MARGIN: Final = " " * 6
_MAX_TEXT: Final = 4096
_MASK: Final = "***"
_SHORTEST_SECRET: Final = 4
"""Masking shorter ones would tell where they stand in every other word."""


class Cleaner:
    """Makes text fit to be shown."""

    def __init__(self, secrets: Sequence[Secret] = ()) -> None:
        found = [secret.reveal() for secret in secrets if len(secret.reveal()) >= _SHORTEST_SECRET]
        self._secrets = sorted(found, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return "".join(c if c.isprintable() else "\ufffd" for c in scrub(text[:_MAX_TEXT]))


class Lines:
    """Tells people: one line a look, what is under way only on a terminal."""

    def __init__(
        self, write: Callable[[str], object], clean: Cleaner, *, terminal: bool, quiet: bool
    ) -> None:
        """`quiet` writes no results, because a machine gets them at the end; what is under way is still shown."""
        self._write = write
        self._clean = clean
        self._terminal = terminal
        self._quiet = quiet

    def begins(self, check: Check) -> None:
        if self._terminal:
            self._write(f"\r\x1b[K...   {check.name}  {self._clean(check.doing)}")

    def ended(self, result: Result) -> None:
        if self._terminal:
            self._write("\r\x1b[K")
        if not self._quiet:
            self._write("".join(f"{line}\n" for line in self._of(result)))

    def summary(self, report: Report) -> None:
        """The last words."""
        if self._quiet:
            return
        fault = report.first_fault
        warnings = sum(result.verdict is Verdict.WARNING for result in report.results)
        if fault is not None:
            self._write(f"\nThe first hop that fails is {fault.name} ({fault.fault}).\n")
        elif warnings:
            self._write(
                f"\nEverything works; {warnings} {'warning' if warnings == 1 else 'warnings'} above.\n"
            )
        else:
            self._write("\nEverything works.\n")

    def _of(self, result: Result) -> list[str]:
        took = "" if result.verdict is Verdict.SKIPPED else f" ({_duration(result.took_s)})"
        fault = f" [{result.fault}]" if result.fault else ""
        lines = [f"{_WORDS[result.verdict]:<5} {result.name:<20} {self._clean(result.seen)}{fault}{took}"]
        if result.advice:
            lines.append(f"{_MARGIN}to change: {self._clean(result.advice)}")
        return [*lines, *(f"{_MARGIN}{self._clean(line)}".rstrip() for line in result.details)]


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def render_json(report: Report, clean: Cleaner) -> str:
    """The report as one JSON object."""
    fault = report.first_fault
    document = {
        "well": fault is None,
        "first_fault": fault.name if fault else None,
        "checks": [
            {
                "name": result.name,
                "doing": clean(result.doing),
                "result": result.verdict.value,
                "seen": clean(result.seen),
                "fault": result.fault or None,
                "advice": clean(result.advice) or None,
                "details": [clean(line) for line in result.details],
                "took_ms": round(result.took_s * 1000, 1),
            }
            for result in report.results
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)
