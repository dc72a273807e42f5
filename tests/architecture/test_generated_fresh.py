"""Generated files are what their sources give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("generator", ["gen_proto.py", "gen_agent_configuration.py"])
def test_generated_files_are_what_their_sources_give(generator: str):
    check = subprocess.run(
        [sys.executable, ROOT / "tools" / generator, "--check"], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stderr
