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

    @classmethod
    def ratio(cls, values: Sequence[float], others: Sequence[float]) -> Spread:
        """Value by value: what was taken in the same round shares the machine's mood."""
        return cls.of([value / other for value, other in zip(values, others, strict=True)])

    def show(self, render: Callable[[float], str]) -> str:
        """The median, and the rest in parentheses if there is any."""
        if self.minimum == self.maximum:
            return render(self.median)
        return f"{render(self.median)} ({render(self.minimum)} to {render(self.maximum)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One figure that has to stay on its side of a bound: its median counts."""

    what: str
    value: Spread
    bound: float | None
    """None: only looked at."""
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        if self.bound is None:
            return True
        return self.value.median >= self.bound if self.at_least else self.value.median <= self.bound

    def row(self) -> Sequence[str]:
        unit = f" {self.unit}" if self.unit else ""
        measured = self.value.show(_number) + unit
        if self.bound is None:
            return self.what, measured, "-", "-"
        bound = f"{'≥' if self.at_least else '≤'} {self.bound:.4g}{unit}"
        return self.what, measured, bound, "yes" if self.met else "**no**"


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
            *(_row(goal.row()) for goal in self.goals),
        ]
        return "\n".join(parts)


def _number(value: float) -> str:
    return (
        f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value >= 0.2 or not value else f"{value:.3f}"
    )


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
