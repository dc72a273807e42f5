"""`python -m bench [--quick] [--write-docs] [small] [single] [bulk] [memory]`; exit 1 when a goal is missed."""

from __future__ import annotations

import argparse
import datetime as dt
import re
import sys
import tempfile
from pathlib import Path

from bench import memory, stack, throughput
from bench.results import Report
from kasbah.errors import KasbahError
from sandbox.processes import Processes

CASES = {"small": throughput.SMALL, "single": throughput.SINGLE, "bulk": throughput.BULK}
PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "performance.md"


def main() -> int:
    """Measure what was named, print it, and say whether every goal is met."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few short rounds: for a look, not for the docs")
    parser.add_argument("--write-docs", action="store_true", help=f"put the tables into {PAGE.name}")
    parser.add_argument(
        "name",
        nargs="*",
        metavar="name",
        choices=[[], *CASES, "memory"],
        help="small, single, bulk, memory; all, if none is named",
    )
    options = parser.parse_args()
    try:
        reports = _measure(options.name or [*CASES, "memory"], quick=options.quick)
    except KasbahError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    text = "\n\n".join([_conditions(), *(report.markdown() for report in reports)])
    print(text)
    if options.write_docs:
        page = PAGE.read_text("utf-8")
        between = re.compile(r"(<!-- begin bench -->\n).*?(<!-- end bench -->)", re.DOTALL)
        PAGE.write_text(between.sub(lambda match: f"{match[1]}{text}\n{match[2]}", page), "utf-8")
    return 0 if all(goal.met for report in reports for goal in report.goals) else 1


def _measure(names: list[str], *, quick: bool) -> list[Report]:
    reports: list[Report] = []
    if cases := [case for name, case in CASES.items() if name in names]:
        with Processes(Path(tempfile.mkdtemp(prefix="kasbah-bench-"))) as processes:
            rounds, seconds = (3, 2) if quick else (5, 5)
            reports += throughput.measure(processes, cases, rounds=rounds, seconds=seconds)
    if "memory" in names:
        with Processes(Path(tempfile.mkdtemp(prefix="kasbah-bench-"))) as processes:
            reports += memory.measure(processes, watches=200 if quick else 1000)
    return reports


def _conditions() -> str:
    return f"Measured {dt.datetime.now(dt.UTC):%Y-%m-%d} on {stack.describe()}."


if __name__ == "__main__":
    sys.exit(main())
