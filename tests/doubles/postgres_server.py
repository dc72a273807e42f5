"""A PostgreSQL of our own for the tests of stores: Debian's programs, a directory of its own, no TCP port."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def find_programs() -> Path | None:
    """The directory of initdb and pg_ctl, where Debian puts them or on the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    on_path = shutil.which("initdb")
    found = debian[0] if debian else Path(on_path) if on_path else None
    return found.parent if found else None


@contextmanager
def running_server(programs: Path) -> Iterator[str]:
    """The URL of a server's one database; the server refuses to be root, so root lends it to `postgres`."""
    directory = Path(tempfile.mkdtemp(prefix="kasbah-pg-"))
    user = "postgres" if os.getuid() == 0 else None
    if user:
        shutil.chown(directory, user)

    def run(*command: str) -> None:
        subprocess.run(command, check=True, user=user, stdout=subprocess.DEVNULL, timeout=50, cwd=directory)

    data = directory / "data"
    options = f"-c listen_addresses= -c unix_socket_directories={directory} -c fsync=off"
    run(str(programs / "initdb"), "-D", str(data), "-U", "kasbah", "-A", "trust", "-E", "UTF8", "--no-locale")
    run(str(programs / "pg_ctl"), "-D", str(data), "-w", "-o", options, "-l", str(directory / "log"), "start")
    try:
        yield f"postgresql://kasbah@/postgres?host={directory}"
    finally:
        run(str(programs / "pg_ctl"), "-D", str(data), "-w", "-m", "immediate", "stop")
        shutil.rmtree(directory)


def given_or_own() -> Iterator[str]:
    """For a fixture: the URL in KASBAH_TEST_POSTGRES, or of a server of our own; skips where there is neither."""
    given = os.environ.get("KASBAH_TEST_POSTGRES")
    programs = find_programs()
    if given:
        yield given
    elif programs is None:
        pytest.skip("no PostgreSQL: set KASBAH_TEST_POSTGRES to a URL, or install Debian's postgresql")
    else:
        with running_server(programs) as url:
            yield url
