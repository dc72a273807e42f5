from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from kasbah.kit.chained_log import log as log_module
from kasbah.kit.chained_log import reading, verification
from kasbah.kit.chained_log.errors import (
    LogBehindError,
    LogTakenError,
    LogUnreadableError,
    LogWriteError,
)
from kasbah.kit.chained_log.log import ChainedLog
from kasbah.kit.chained_log.settings import ChainedLogSettings
from kasbah.kit.tasks import alongside

HOLDS = "from pathlib import Path; import os, sys; from kasbah.kit.chained_log.log import ChainedLog\n"


def records(directory: Path) -> list[dict[str, object]]:
    return [msgspec.json.decode(entry.record) for entry in reading.forwards(directory)]


def is_whole(directory: Path) -> bool:
    return verification.verify(directory).fault is None


class TestOpening:
    def test_a_log_goes_on_where_it_ended(self, tmp_path: Path):
        first = ChainedLog(tmp_path)
        assert first.append([b'{"n":1}']) == 2
        first.close()
        second = ChainedLog(tmp_path)
        assert second.head == first.head
        assert second.append([b'{"n":2}', b'{"n":3}']) == 4
        second.close()
        assert second.segment == 1
        assert is_whole(tmp_path)

    def test_only_one_process_writes(self, tmp_path: Path):
        log = ChainedLog(tmp_path)
        with pytest.raises(LogTakenError, match="another process"):
            ChainedLog(tmp_path)
        log.close()
        ChainedLog(tmp_path).close()

    def test_a_line_that_was_cut_off_is_set_aside_and_the_next_segment_says_so(self, tmp_path: Path):
        log = ChainedLog(tmp_path)
        log.append([b'{"n":1}', b'{"n":2}'])
        log.close()
        path = tmp_path / "segment-00000001.jsonl"
        path.write_bytes(path.read_bytes()[:-5])
        again = ChainedLog(tmp_path)
        again.append([b'{"n":3}'])
        again.close()
        assert again.segment == 2
        assert records(tmp_path)[2]["set_aside"]
        assert is_whole(tmp_path)

    def test_segments_of_which_nothing_can_be_read_are_set_aside_too(self, tmp_path: Path):
        log = ChainedLog(tmp_path)
        log.append([b'{"n":1}'])
        log.close()
        (tmp_path / "segment-00000002.jsonl").touch()
        (tmp_path / "segment-00000003.jsonl").write_bytes(b'{"seq":3')
        again = ChainedLog(tmp_path)
        again.close()
        assert again.segment == 4
        assert is_whole(tmp_path)

    def test_a_log_of_which_nothing_can_be_read_is_left_alone(self, tmp_path: Path):
        (tmp_path / "segment-00000001.jsonl").write_bytes(b"hello\n")
        with pytest.raises(LogUnreadableError, match="move it elsewhere"):
            ChainedLog(tmp_path)

    def test_a_place_that_cannot_be_written_is_named(self, tmp_path: Path):
        (tmp_path / "file").touch()
        with pytest.raises(LogWriteError, match="file"):
            ChainedLog(tmp_path / "file")

    def test_a_disk_that_is_full_from_the_start_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(log_module.os, "write", _full)
        with pytest.raises(LogWriteError, match="No space left"):
            ChainedLog(tmp_path)


class TestKilled:
    def test_what_was_appended_outlives_a_killed_process(self, tmp_path: Path):
        program = HOLDS + (
            "log = ChainedLog(Path(sys.argv[1]))\n"
            "for n in range(1000): log.append([b'{\"n\":%d}' % n])\n"
            "print('done', flush=True); sys.stdin.read()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"done\n"
            process.send_signal(signal.SIGKILL)
        assert [record["n"] for record in records(tmp_path) if "n" in record] == list(range(1000))
        ChainedLog(tmp_path).close()
        assert is_whole(tmp_path)


class TestClosed:
    def test_a_closed_log_takes_nothing(self, tmp_path: Path):
        log = ChainedLog(tmp_path)
        log.close()
        with pytest.raises(LogWriteError, match="closed"):
            log.append([b"{}"])


class TestSegments:
    def test_a_large_segment_is_followed_by_another(self, tmp_path: Path):
        log = ChainedLog(tmp_path, ChainedLogSettings(segment_bytes=1000))
        for number in range(20):
            log.append([b'{"n":%d}' % number])
        log.close()
        assert log.segment > 2
        assert is_whole(tmp_path)

    def test_the_oldest_are_removed_and_a_record_says_so(self, tmp_path: Path):
        log = ChainedLog(tmp_path, ChainedLogSettings(segment_bytes=1000, keep_bytes=4000))
        for number in range(200):
            log.append([b'{"n":%d}' % number])
        log.close()
        sizes = [path.stat().st_size for path in tmp_path.glob("segment-*")]
        assert sum(sizes) < 6000
        assert any(record.get("type") == "log.removed" for record in records(tmp_path))
        assert is_whole(tmp_path)

    def test_a_record_too_large_to_be_read_again_is_not_taken(self, tmp_path: Path):
        log = ChainedLog(tmp_path)
        with pytest.raises(LogWriteError, match="larger than"):
            log.append([b'{"text":"%b"}' % (b"x" * 70_000)])
        log.close()


class TestFailure:
    def test_a_full_disk_is_an_error_that_names_the_place_and_leaves_nothing_half_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        log = ChainedLog(tmp_path)
        before = log.head
        with monkeypatch.context() as patched:
            patched.setattr(log_module.os, "write", _half_then_full())
            with pytest.raises(LogWriteError, match=r"segment-00000001\.jsonl: No space left"):
                log.append([b'{"n":1}'])
        assert log.head == before
        log.append([b'{"n":2}'])
        log.close()
        assert [record["n"] for record in records(tmp_path) if "n" in record] == [2]
        assert is_whole(tmp_path)

    def test_what_cannot_even_be_taken_back_is_set_aside(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        log = ChainedLog(tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(log_module.os, "write", _half_then_full())
            patched.setattr(log_module.os, "ftruncate", _full)
            with pytest.raises(LogWriteError):
                log.append([b'{"n":1}'])
        log.append([b'{"n":2}'])
        log.close()
        assert log.segment == 2
        assert is_whole(tmp_path)

    def test_a_segment_that_has_no_room_for_its_opening_is_begun_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        log = ChainedLog(tmp_path, ChainedLogSettings(segment_bytes=1))
        with monkeypatch.context() as patched:
            patched.setattr(log_module.os, "write", _full)
            for _ in range(3):
                with pytest.raises(LogWriteError):
                    log.append([b'{"n":1}'])
        log.append([b'{"n":2}'])
        log.close()
        assert is_whole(tmp_path)

    def test_nothing_is_taken_while_too_much_waits_for_the_disk(self, tmp_path: Path):
        log = ChainedLog(tmp_path, ChainedLogSettings(max_unsynced_bytes=1000))
        log.append([b'{"n":1}'] * 10)
        with pytest.raises(LogBehindError, match="wait for the disk"):
            log.append([b'{"n":1}'])
        log.close()


class TestSyncing:
    @pytest.mark.asyncio
    async def test_those_who_wait_are_told_when_it_is_on_the_disk(self, tmp_path: Path):
        log = ChainedLog(tmp_path)
        async with running(log):
            assert await durable(log, log.append([b'{"n":1}']))
            assert log.unsynced_bytes == 0

    @pytest.mark.asyncio
    async def test_what_is_durable_already_is_said_in_a_later_turn(self, tmp_path: Path):
        log = ChainedLog(tmp_path)
        told: list[bool] = []
        log.when_durable(log.head.sequence, told.append)
        assert told == []
        await asyncio.sleep(0)
        assert told == [True]
        log.close()

    @pytest.mark.asyncio
    async def test_one_sync_serves_many(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        syncs = _counted_syncs(monkeypatch)
        log = ChainedLog(tmp_path)
        async with running(log), asyncio.TaskGroup() as tasks:
            for number in range(200):
                tasks.create_task(durable(log, log.append([b'{"n":%d}' % number])))
        assert 1 <= len(syncs) <= 3

    @pytest.mark.asyncio
    async def test_what_nobody_waits_for_is_synced_all_the_same(self, tmp_path: Path):
        log = ChainedLog(tmp_path, ChainedLogSettings(sync_interval_s=0.001))
        async with running(log):
            log.append([b'{"n":1}'])
            while log.unsynced_bytes:  # noqa: ASYNC110 - there is nothing to wait on
                await asyncio.sleep(0.001)

    @pytest.mark.asyncio
    async def test_a_disk_that_does_not_answer_stops_everything(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        answer, asked = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def never(*_: object) -> None:
            loop.call_soon_threadsafe(asked.set)
            answer.wait()

        monkeypatch.setattr(log_module, "_sync_files", never)
        log = ChainedLog(tmp_path, ChainedLogSettings(max_sync_s=0))
        async with running(log):
            log.when_durable(log.append([b'{"n":1}']), lambda _: None)
            await asked.wait()
            with pytest.raises(LogBehindError, match="does not answer"):
                log.append([b'{"n":2}'])
            answer.set()

    @pytest.mark.asyncio
    async def test_a_disk_that_refuses_is_told_and_another_file_begun(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        log = ChainedLog(tmp_path)
        async with running(log):
            with monkeypatch.context() as patched:
                patched.setattr(log_module, "_sync_files", _full)
                assert not await durable(log, log.append([b'{"n":1}']))
            assert await durable(log, log.append([b'{"n":2}']))
            assert log.segment == 2
        assert [record["n"] for record in records(tmp_path) if "n" in record] == [1, 2]
        assert is_whole(tmp_path)

    @pytest.mark.asyncio
    async def test_files_are_closed_when_a_segment_is_left(self, tmp_path: Path):
        before = _open_files()
        log = ChainedLog(tmp_path, ChainedLogSettings(segment_bytes=500))
        async with running(log):
            for number in range(60):
                await durable(log, log.append([b'{"n":%d}' % number]))
            # The log, its lock, and what the loop needs to hear of the thread.
            assert _open_files() <= before + 4
        assert log.segment > 10


@asynccontextmanager
async def running(log: ChainedLog) -> AsyncIterator[None]:
    async with alongside(log.run()):
        yield
    log.close()


async def durable(log: ChainedLog, sequence: int) -> bool:
    told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    log.when_durable(sequence, told.set_result)
    return await told


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _full(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _half_then_full():
    real, calls = os.write, []

    def write(file: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) > 1:
            return _full()
        return real(file, data[: len(data) // 2])

    return write


def _counted_syncs(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    syncs: list[object] = []
    real = log_module._sync_files

    def counted(*arguments: object) -> None:
        syncs.append(arguments)
        real(*arguments)

    monkeypatch.setattr(log_module, "_sync_files", counted)
    return syncs
