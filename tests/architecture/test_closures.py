"""What each program loads, own modules and outside packages, is a committed list: growing one is seen in a review.

`python tests/architecture/test_closures.py --update` writes the lists anew.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LISTS = Path(__file__).with_name("closures")
PROGRAMS = {
    "agentk": "kasbah.agentk.__main__",
    "kas": "kasbah.kas.__main__",
    "hub": "kasbah.hub.app",
    "cli": "kasbah.cli.__main__",
    "credential": "kasbah.cli.credential",
    "up": "kasbah.up.__main__",
}


def closure(program: str) -> str:
    """The list as it is now: our modules, a line `--`, packages from outside."""
    spec = importlib.util.spec_from_file_location("code_metrics", ROOT / "tools" / "code_metrics.py")
    assert spec is not None
    assert spec.loader is not None
    metrics = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = metrics  # its dataclasses look themselves up
    spec.loader.exec_module(metrics)
    own, outside = metrics.closure(PROGRAMS[program], [str(ROOT / "src")])
    return "\n".join([*own, "--", *outside, ""])


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_loads_what_its_list_says(program: str):
    committed = (LISTS / f"{program}.txt").read_text("utf-8")
    assert closure(program).splitlines() == committed.splitlines(), (
        f"what {program} loads has changed; if that is meant: python tests/architecture/test_closures.py --update"
    )


if __name__ == "__main__":
    if sys.argv[1:] != ["--update"]:
        sys.exit(__doc__)
    for name in PROGRAMS:
        (LISTS / f"{name}.txt").write_text(closure(name), "utf-8")
