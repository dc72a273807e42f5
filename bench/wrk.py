"""wrk as the client: closed loop, one thread, keep-alive connections."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench.errors import BenchError
from bench.processes import cpu_seconds

_UNITS: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}
_SIZES: Final = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round showed."""

    requests_per_s: float
    bytes_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    """Answers other than 2xx and 3xx, and connections that broke."""
    cpu_s_per_1000: float
    """Processor seconds of the programs under test for a thousand requests."""


def run(
    url: str, *, connections: int, seconds: int, pids: list[int], headers: Mapping[str, str] | None = None
) -> Round:
    """Load the address and watch what the processes use meanwhile."""
    words = command(url, connections=connections, seconds=seconds, headers=headers)
    before = cpu_seconds(pids)
    finished = subprocess.run(words, capture_output=True, text=True, check=False)
    used = cpu_seconds(pids) - before
    if finished.returncode:
        raise BenchError(f"wrk could not load {url}: {finished.stderr.strip() or finished.stdout.strip()}")
    return parse(finished.stdout, used)


def command(
    url: str, *, connections: int, seconds: int, headers: Mapping[str, str] | None = None
) -> list[str]:
    """What is run.

    Raises:
        BenchError: it cannot be.
    """
    if not shutil.which("wrk"):
        raise BenchError("wrk is not installed: tools/install-system-packages bench")
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "30s"]
    for name, value in (headers or {}).items():
        words += ["-H", f"{name}: {value}"]
    return [*words, url]


def parse(text: str, cpu_s: float) -> Round:
    """Read what wrk prints."""
    requests = int(_find(r"(\d+) requests in", text)[1])
    transfer = _find(r"Transfer/sec:\s+([\d.]+)(\w+)", text)
    return Round(
        requests_per_s=float(_find(r"Requests/sec:\s+([\d.]+)", text)[1]),
        bytes_per_s=float(transfer[1]) * _SIZES[transfer[2]],
        p50_ms=_percentile("50", text),
        p99_ms=_percentile("99", text),
        errors=sum(map(int, re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", text))),
        cpu_s_per_1000=cpu_s / max(requests, 1) * 1000,
    )


def _percentile(which: str, text: str) -> float:
    found = _find(rf"(?m)^\s+{which}%\s+([\d.]+)(us|ms|s|m)", text)
    return float(found[1]) * _UNITS[found[2]]


def _find(pattern: str, text: str) -> re.Match[str]:
    found = re.search(pattern, text)
    if found is None:
        raise BenchError(f"wrk printed something else than expected:\n{text}")
    return found
