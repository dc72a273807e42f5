"""`make demo` is the first thing anybody runs: it works, it shows what it promises, and it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import sandbox

WHY_NOT = sandbox.why_not() or ""
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(180),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
]
ROOT = Path(__file__).resolve().parents[2]


def start(tmp_path, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "demo", "--node", "kwok", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_demo_shows_what_it_promises(tmp_path):
    with start(tmp_path) as demo:
        told, _ = demo.communicate()

    assert demo.returncode == 0, told
    assert re.search(r"^\| MODIFIED +hello-\S+ +1/1 +Running", told, re.MULTILINE)
    assert "this runs in the pod" in told
    assert "AND BACK AGAIN" in told
    assert len(re.findall(r"^\| tick \d+", told, re.MULTILINE)) >= 3
    assert "hello from a pod of the sandbox" in told
    assert "All of it worked." in told


def test_the_demo_interrupted_leaves_nothing_behind(tmp_path):
    with start(tmp_path) as demo:
        assert demo.stdout is not None
        line = next(line for line in demo.stdout if line.startswith("$ kasbah project create"))
        demo.send_signal(signal.SIGTERM)  # a shell in the background may have us ignore SIGINT
        rest, _ = demo.communicate(timeout=60)

    assert line
    assert demo.returncode == 130, rest
    assert not list(tmp_path.glob("kasbah-demo-*"))
