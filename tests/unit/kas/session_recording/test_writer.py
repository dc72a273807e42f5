from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kasbah.kas.session_recording.writer import BROKEN, Recording, RecordingDirectoryError, RecordingWriter
from kasbah.kit.tasks import alongside


def broken() -> float:
    return BROKEN.labels("disk")._value.get()


def write_out(writer: RecordingWriter) -> None:
    writer._write_out(*writer._taken())


@pytest.mark.asyncio
async def test_what_was_written_is_in_the_files_when_it_stops(tmp_path: Path):
    writer, one, two = RecordingWriter(tmp_path, 100), Recording("1.cast"), Recording("2.cast")
    async with alongside(writer.run()):
        await asyncio.sleep(0)
        writer.write(one, b"a\n")
        writer.write(two, b"b\n")
        writer.write(one, b"c\n")
        writer.end(one)
    assert (tmp_path / "1.cast").read_bytes() == b"a\nc\n"
    assert (tmp_path / "2.cast").read_bytes() == b"b\n"


@pytest.mark.asyncio
async def test_what_was_written_is_in_the_file_soon(tmp_path: Path):
    writer, one = RecordingWriter(tmp_path, 100), Recording("1.cast")
    async with alongside(writer.run()):
        writer.write(one, b"a\n")
        for _ in range(100):
            await asyncio.sleep(0.01)
            if (tmp_path / "1.cast").exists() and (tmp_path / "1.cast").read_bytes():
                return
    pytest.fail("not within a second")


def test_nobody_else_may_read(tmp_path: Path):
    writer, one = RecordingWriter(tmp_path / "new", 100), Recording("1.cast")
    writer.write(one, b"a\n")
    write_out(writer)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "1.cast").stat().st_mode & 0o777 == 0o600


def test_only_so_much_may_wait(tmp_path: Path):
    writer, one = RecordingWriter(tmp_path, 3), Recording("1.cast")
    assert writer.has_room(b"123")
    assert not writer.has_room(b"1234")
    writer.write(one, b"12")
    assert not writer.has_room(b"34")
    write_out(writer)
    assert writer.has_room(b"34")


def test_a_disk_that_fails_breaks_one_recording_and_is_told_once(tmp_path: Path):
    (tmp_path / "1.cast").symlink_to(tmp_path / "elsewhere")
    writer, one, two, before = (
        RecordingWriter(tmp_path, 100),
        Recording("1.cast"),
        Recording("2.cast"),
        broken(),
    )
    for _ in range(2):
        writer.write(one, b"a")
        writer.write(two, b"b")
        write_out(writer)
    writer.end(one)
    write_out(writer)
    assert (one.failed, two.failed, broken() - before) == (True, False, 1)
    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "2.cast").read_bytes() == b"bb"


def test_an_ended_recording_lets_go_of_its_file(tmp_path: Path):
    writer, one = RecordingWriter(tmp_path, 100), Recording("1.cast")
    writer.write(one, b"a")
    write_out(writer)
    assert one._descriptor >= 0
    writer.end(one)
    write_out(writer)
    assert one._descriptor == -1


def test_a_directory_that_cannot_be_written_to_is_told_at_once(tmp_path: Path):
    (tmp_path / "file").touch()
    for directory in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc")):
        with pytest.raises(RecordingDirectoryError, match="session recordings cannot be written to"):
            RecordingWriter(directory, 100)
