"""What a benchmark hands back: figures beside their goals, and notes on how they were taken."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The same figure from several rounds."""

    minimum: float
    median: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(minimum=min(values), median=statistics.median(values), maximum=max(values))

    def show(self, render: Callable[[float], str]) -> str:
        """The median, and the rest in parentheses."""
        return f"{render(self.median)} ({render(self.minimum)} to {render(self.maximum)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One figure that has to stay on its side of a bound."""

    what: str
    value: float
    bound: float
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def row(self) -> str:
        sign = "≥" if self.at_least else "≤"
        unit = f" {self.unit}" if self.unit else ""
        return f"| {self.what} | {self.value:.2f}{unit} | {sign} {self.bound:g}{unit} | {'yes' if self.met else '**no**'} |"


@dataclass(slots=True, kw_only=True)
class Report:
    """One benchmark's tables."""

    title: str
    how: str
    header: Sequence[str] = ()
    rows: list[Sequence[str]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def markdown(self) -> str:
        """The report as it stands in docs/reference/performance.md."""
        parts = [f"### {self.title}", "", self.how, ""]
        if self.rows:
            parts += [_row(self.header), "|" + "---|" * len(self.header), *map(_row, self.rows), ""]
        parts += [
            "| goal | measured | bound | met |",
            "|---|---|---|---|",
            *(goal.row() for goal in self.goals),
        ]
        return "\n".join(parts)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
