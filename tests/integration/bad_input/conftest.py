"""What strangers, jobs and clusters may say that they should not: tables of it, each run as a whole and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Callable[[str], None]]:
    """Counts what became of each case of a table; the counts are printed at the end of the test."""
    counts: Counter[str] = Counter()
    yield lambda outcome: counts.update([outcome])
    told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
    print(f"\n{request.node.name}: {counts.total()} cases: {told}")
