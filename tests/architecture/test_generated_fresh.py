"""Generated files are what their sources give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_messages_are_generated_from_proto():
    check = subprocess.run(
        [sys.executable, ROOT / "tools" / "gen_proto.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 0, check.stderr
