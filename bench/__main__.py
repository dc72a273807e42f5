"""`python -m bench [--quick] [--write-docs] [name…]`; exit 1 when a goal is missed.

Another proxy in front of the same upstream is measured beside ours when it is named: somebody has started it and has
pointed it at the upstream's port.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re
import sys
import tempfile
from pathlib import Path

from bench import authorization, keystrokes, memory, recovery, stack, throughput, watches
from bench.errors import BenchError
from bench.results import Report
from bench.route import Route
from kasbah.errors import KasbahError
from sandbox.processes import Processes

CASES = {
    "single": throughput.SINGLE,
    "small": throughput.SMALL,
    "many": throughput.MANY,
    "bulk": throughput.BULK,
}
PARTS = {"watches": watches.measure, "keystrokes": keystrokes.measure, "recovery": recovery.measure}
NAMES = ["memory", *CASES, *PARTS, "authorization"]
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
        choices=[[], *NAMES],
        help=f"{', '.join(NAMES)}; all, if none is named",
    )
    parser.add_argument(
        "--upstream-port", type=int, metavar="PORT", help="where the API server's stand-in listens"
    )
    parser.add_argument("--peer-name", default="peer", metavar="NAME")
    parser.add_argument(
        "--peer-url", metavar="URL", help="what leads through it, without the API server's own path"
    )
    parser.add_argument("--peer-header", action="append", default=[], metavar="NAME: VALUE")
    parser.add_argument(
        "--peer-pid",
        action="append",
        default=[],
        type=int,
        metavar="PID",
        help="its server, and again: its agent",
    )
    options = parser.parse_args()
    try:
        reports = _measure(options, _peer(options))
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


def _measure(options: argparse.Namespace, peer: Route | None) -> list[Report]:
    names, quick = options.name or NAMES, options.quick
    beside = {"upstream_port": options.upstream_port, "peer": peer}
    reports: list[Report] = []
    if "memory" in names:  # first: a peer is not started anew, and is idle only once
        with Processes(Path(tempfile.mkdtemp(prefix="kasbah-bench-"))) as processes:
            reports += memory.measure(processes, quick=quick, **beside)
    if cases := [case for name, case in CASES.items() if name in names]:
        with Processes(Path(tempfile.mkdtemp(prefix="kasbah-bench-"))) as processes:
            rounds, seconds = (3, 2) if quick else (5, 4)
            reports += throughput.measure(processes, cases, rounds=rounds, seconds=seconds, **beside)
    for part in (PARTS[name] for name in names if name in PARTS):
        with Processes(Path(tempfile.mkdtemp(prefix="kasbah-bench-"))) as processes:
            reports += part(processes, quick=quick)
    if "authorization" in names:
        reports += authorization.measure(quick=quick)
    return reports


def _peer(options: argparse.Namespace) -> Route | None:
    if options.peer_url is None:
        return None
    if len(options.peer_pid) != 2 or options.upstream_port is None:
        raise BenchError("a peer needs --upstream-port and two of --peer-pid: its server, its agent")
    headers = dict(header.split(": ", 1) for header in options.peer_header)
    return Route(name=options.peer_name, base=options.peer_url, pids=options.peer_pid, headers=headers)


def _conditions() -> str:
    return f"Measured {dt.datetime.now(dt.UTC):%Y-%m-%d} on {stack.describe()}."


if __name__ == "__main__":
    sys.exit(main())
