"""What strangers, jobs and clusters may say that they should not: tables of it, each run as a whole and counted.

The counts are told at the end of the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

_TOLD = pytest.StashKey[list[str]]()


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Callable[[str], None]]:
    """Counts what became of each case of a table."""
    counts: Counter[str] = Counter()
    yield lambda outcome: counts.update([outcome])
    told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
    request.config.stash.setdefault(_TOLD, []).append(f"{request.node.name}: {counts.total()} cases: {told}")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    del exitstatus
    if told := config.stash.get(_TOLD, []):
        terminalreporter.section("bad input")
        for line in sorted(told):
            terminalreporter.write_line(line)
