"""Every command and option of `kasbah` is documented, by the page that is written from them."""

from __future__ import annotations

import subprocess
import sys

from tests.architecture.sources import ROOT


def test_the_command_line_page_is_what_the_commands_say():
    check = subprocess.run(
        [sys.executable, ROOT / "tools" / "gen_command_line.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 0, check.stderr
