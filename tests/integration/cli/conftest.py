"""A real `kasbah up` in a process of its own, and commands as a person gives them."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Person:
    """Somebody with a home, a host and two programs."""

    home: Path
    urls: Mapping[str, str]
    environ: Mapping[str, str]

    def kasbah(self, *arguments, stdin="", code=0):
        """Run `kasbah …`, expect the exit code, give stdout."""
        return self._run("kasbah.cli", arguments, stdin, code)

    def credential(self, *arguments, code=0):
        """Run `kasbah-credential …`."""
        return self._run("kasbah.cli.credential", arguments, "", code)

    def _run(self, module, arguments, stdin, code):
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            env=self.environ,
            cwd=self.home,
            timeout=60,
            check=False,
        )
        self.err = done.stderr
        assert done.returncode == code, f"{arguments}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="session")
def up(tmp_path_factory):
    """The URLs of a running Kasbah, as its ready line says them."""
    home = tmp_path_factory.mktemp("up")
    flags = [f for name in ("http", "https", "grpc") for f in (f"--{name}", f"127.0.0.1:{free_port()}")]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "kasbah.cli", "up", "--data", str(home / "data"), *flags],
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=home,
        )
    try:
        ready, _, _ = select.select([process.stdout], [], [], 40)
        line = process.stdout.readline() if ready else b""
        assert line, (home / "log").read_text()
        yield json.loads(line)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


@pytest.fixture
def person(up, tmp_path):
    """Nobody's home yet: not logged in."""
    passed_on = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return Person(tmp_path, up, {**passed_on, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "src")})


@pytest.fixture
def root(person):
    """The administrator, logged in."""
    files = ["--token-file", person.urls["root_token_file"], "--ca-file", person.urls["ca_file"]]
    person.kasbah("login", "--url", person.urls["https"], *files)
    return person
