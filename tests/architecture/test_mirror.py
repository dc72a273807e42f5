"""tests/unit mirrors src file for file, both ways; the modules that still owe a test are listed, and the list shrinks.

`python tests/architecture/test_mirror.py --pay` strikes those that have paid.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEBTORS = Path(__file__).with_name("mirror_debtors.txt")
GENERATED = ("kasbah/wire/pb/", "kasbah/hub/migrations/")
OTHER_ROOTS = ("sandbox", "bench", "tools")
"""Beside src: their unit tests mirror them too where there are any, but none is owed."""


def owed_tests() -> dict[str, Path]:
    """Each module of src with the path of its unit test; faces and entry points hold nothing to test alone."""
    names = (path.relative_to(ROOT / "src").as_posix() for path in sorted((ROOT / "src").rglob("*.py")))
    mirrored = [
        n for n in names if not n.startswith(GENERATED) and Path(n).stem not in {"__init__", "__main__"}
    ]
    return {name: _test_of(Path(*Path(name).parts[1:])) for name in mirrored}


def debtors() -> list[str]:
    """The modules listed as owing a test."""
    lines = DEBTORS.read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _test_of(module: Path) -> Path:
    return ROOT / "tests" / "unit" / module.parent / f"test_{module.stem.strip('_')}.py"


def test_every_module_has_its_unit_test_or_stands_among_the_debtors():
    without = [name for name, test in owed_tests().items() if not test.exists() and name not in debtors()]
    assert not without, "write the unit test that mirrors the module"


def test_no_debtor_has_paid_or_gone():
    paid = [name for name in debtors() if name not in owed_tests() or owed_tests()[name].exists()]
    assert not paid, "strike it: python tests/architecture/test_mirror.py --pay"


def test_every_unit_test_mirrors_a_module():
    mirrored = set(owed_tests().values())
    for root in OTHER_ROOTS:
        mirrored |= {_test_of(path.relative_to(ROOT)) for path in (ROOT / root).rglob("*.py")}
    orphans = [
        test.relative_to(ROOT).as_posix()
        for test in sorted((ROOT / "tests" / "unit").rglob("test_*.py"))
        if test not in mirrored
    ]
    assert not orphans, "name a unit test after the module it tests"


if __name__ == "__main__":
    if sys.argv[1:] != ["--pay"]:
        sys.exit(__doc__)
    still = [name for name in debtors() if name in owed_tests() and not owed_tests()[name].exists()]
    DEBTORS.write_text(
        "\n".join(["# Modules that owe a unit test of their own. This list only shrinks.", *still, ""])
    )
