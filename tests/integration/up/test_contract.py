"""`kasbah up` as scripts see it: flags, the ready line, exit codes, and what a start that fails leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from kasbah.errors import PeerError, UserError
from kasbah.kit.listening import Address, bound
from kasbah.up import __main__ as program

PORTS = ("http", "https", "grpc", "observability")


@contextlib.asynccontextmanager
async def up(data: Path, **given: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, on ports the system chooses unless told otherwise; stopped at the end."""
    named = dict.fromkeys(PORTS, "127.0.0.1:0") | given
    flags = [word for name, value in named.items() for word in (f"--{name}", value)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kasbah.up", "--data", data, *flags),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def ready(process: asyncio.subprocess.Process) -> dict[str, str]:
    assert process.stdout is not None
    return json.loads(await process.stdout.readline())


async def refusal(data: Path, **addresses: str) -> tuple[int | None, str]:
    """The exit code and the last line of a start that fails."""
    async with up(data, **addresses) as process:
        stdout, stderr = await process.communicate()
    assert stdout == b""
    assert b"Traceback" not in stderr
    return process.returncode, stderr.decode().splitlines()[-1]


def content_if_private(file: Path) -> str:
    assert file.stat().st_mode & 0o777 == 0o600
    return file.read_text().strip()


@pytest.mark.asyncio
async def test_it_says_where_it_is_serves_there_and_stops_when_told(tmp_path: Path):
    async with up(tmp_path / "data", http="localhost:0") as process:
        line = await ready(process)
        async with httpx2.AsyncClient() as client:
            token = content_if_private(Path(line["root_token_file"]))
            user = await client.get(f"{line['http']}/api/v4/user", headers={"PRIVATE-TOKEN": token})
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert user.json()["username"] == "root"


@pytest.mark.asyncio
@pytest.mark.parametrize("name", PORTS)
async def test_an_address_that_is_taken_is_named_and_nothing_is_written(tmp_path: Path, name: str):
    with bound(Address(host="127.0.0.1", port=0)) as taken:
        code, line = await refusal(tmp_path / "data", **{name: str(taken.address)})
    assert code == 1
    assert line.startswith(f"kasbah up: --{name} {taken.address}: Address already in use")
    assert not (tmp_path / "data").exists()


@pytest.mark.asyncio
async def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    code, line = await refusal(tmp_path / "file")
    assert code == 2
    assert line.startswith(f"kasbah up: --data {tmp_path / 'file'} cannot be written")


@pytest.mark.asyncio
async def test_a_directory_has_one_process_and_a_newer_database_is_left_alone(tmp_path: Path):
    async with up(tmp_path) as first:
        await ready(first)
        code, line = await refusal(tmp_path)
        assert (code, line.startswith("kasbah up: another `kasbah up` uses")) == (2, True)
        first.terminate()
        await first.wait()
    with contextlib.closing(sqlite3.connect(tmp_path / "kasbah.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    code, line = await refusal(tmp_path)
    assert code == 1
    assert "was written by a newer Kasbah" in line


def test_a_host_with_several_addresses_has_one_port_on_all_of_them():
    with bound(Address(host="localhost", port=0)) as ours:
        ports = {made.getsockname()[1] for made in ours.sockets}
        assert ports == {ours.address.port}
        socket.create_connection(("localhost", ours.address.port)).close()


def test_every_failure_of_a_start_is_one_line_without_secrets(capsys: pytest.CaptureFixture[str]):
    inner = ExceptionGroup("", [UserError("no token glpat-abcdefghijkl123456789")])
    assert program._report(ExceptionGroup("", [inner, PeerError("the database is away")]), 1) == 1
    assert capsys.readouterr().err == ("kasbah up: no token ***\nkasbah up: the database is away\n")
