from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kasbah.kas.access_log import writer as writer_module
from kasbah.kas.access_log.settings import AccessLogSettings
from kasbah.kas.access_log.writer import DROPPED, AccessLogFileError, LineWriter
from kasbah.kit.tasks import alongside

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def running(writer: LineWriter) -> AsyncIterator[LineWriter]:
    async with alongside(writer.run()):
        await asyncio.sleep(0)
        yield writer


def dropped() -> float:
    return DROPPED._value.get()


async def test_lines_are_in_the_file_when_it_stops(tmp_path: Path):
    async with running(LineWriter(AccessLogSettings(file=str(tmp_path / "log")))) as writer:
        writer.write(b"one\n")
        writer.write(b"two\n")
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"


async def test_lines_are_added_to_a_file_that_is_there_and_nobody_else_may_read_a_new_one(tmp_path: Path):
    for line in (b"one\n", b"two\n"):
        async with running(LineWriter(AccessLogSettings(file=str(tmp_path / "log")))) as writer:
            writer.write(line)
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


async def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path):
    path = tmp_path / "log"
    writer = LineWriter(AccessLogSettings(file=str(path)))
    writer._write_out(b"one\n", 1)
    path.rename(tmp_path / "log.1")
    writer._write_out(b"soon after\n", 1)
    writer._looked_at = 0
    writer._write_out(b"two\n", 1)
    writer._close()
    assert (tmp_path / "log.1").read_bytes() == b"one\nsoon after\n"
    assert path.read_bytes() == b"two\n"


async def test_what_waits_has_a_bound(tmp_path: Path):
    before = dropped()
    async with running(
        LineWriter(AccessLogSettings(file=str(tmp_path / "log"), max_waiting_bytes=10))
    ) as writer:
        for _ in range(5):
            writer.write(b"line\n")
    assert dropped() - before == 3
    assert (tmp_path / "log").read_bytes() == b"line\nline\n"


async def test_lines_that_the_disk_refuses_are_counted_and_the_next_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = dropped()
    writer = LineWriter(AccessLogSettings(file=str(tmp_path / "log")))
    with monkeypatch.context() as patched:
        patched.setattr(writer_module.os, "write", _full)
        writer._write_out(b"one\ntwo\n", 2)
        writer._write_out(b"three\n", 1)
    assert dropped() - before == 3
    writer._write_out(b"four\n", 1)
    writer._close()
    assert (tmp_path / "log").read_bytes() == b"four\n"


async def test_stdout_can_be_the_place(capfd: pytest.CaptureFixture[str]):
    async with running(LineWriter(AccessLogSettings(file="-"))) as writer:
        writer.write(b"one\n")
    assert capfd.readouterr().out == "one\n"
    os.fstat(1)


async def test_a_pipe_that_nobody_reads_holds_nothing_up(monkeypatch: pytest.MonkeyPatch):
    reader, pipe = os.pipe()
    monkeypatch.setattr(writer_module, "_STDOUT_DESCRIPTOR", pipe)
    monkeypatch.setattr(writer_module, "_PIPE_WAIT_S", 0)
    before = dropped()
    writer = LineWriter(AccessLogSettings(file="-"))
    writer._write_out(b"x" * 300_000, 7)
    os.close(reader)
    os.close(pipe)
    assert dropped() - before == 7


async def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    with pytest.raises(AccessLogFileError, match="nowhere/log"):
        LineWriter(AccessLogSettings(file=str(tmp_path / "nowhere" / "log")))


def _full(*_: object) -> int:
    raise OSError(28, "No space left on device")
