"""The shape of the code, by tools/code_metrics.py: structural figures are gates, the others places to look."""

from __future__ import annotations

import subprocess
import sys

from tests.architecture.sources import ROOT


def test_no_structural_figure_leaves_its_bound():
    run = subprocess.run(
        [
            sys.executable,
            "tools/code_metrics.py",
            "--check",
            "tools/bounds_hold.json",
            "kasbah=src/kasbah:tests",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [line for line in run.stdout.splitlines() if line.startswith("kasbah: ")]
    print("\n".join(rows))  # noqa: T201 - shown by pytest -s, and when the test fails
    assert run.returncode == 0, [row for row in rows if ": gate:" in row]
