"""What stands in for the containers of KWOK's pods."""

from __future__ import annotations

from datetime import UTC, datetime

from sandbox import stand_in


def test_a_line_is_written_as_a_container_runtime_writes_it() -> None:
    line = stand_in.log_line(3, datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC))
    assert line == "2026-01-02T03:04:05.000600000Z stdout F tick 3\n"
