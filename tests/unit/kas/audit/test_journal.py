from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kasbah.kas.audit.journal import AuditJournal, open_journal
from kasbah.kas.audit.settings import AuditSettings
from kasbah.kas.kubernetes_api.record import JournalUnavailableError, RequestRecord
from kasbah.kit.chained_log import log as log_module
from kasbah.kit.chained_log import reading, verification
from kasbah.kit.chained_log.log import ChainedLog
from kasbah.kit.chained_log.settings import ChainedLogSettings
from kasbah.kit.tasks import alongside
from tests.doubles import audited

pytestmark = pytest.mark.asyncio
GRANT = audited.grant()


class Holder:
    """An answer that waits."""

    def __init__(self) -> None:
        self.told = asyncio.Event()

    def record_durable(self) -> None:
        self.told.set()


@asynccontextmanager
async def running(
    directory: Path, *, reads: bool = True, log: ChainedLogSettings | None = None
) -> AsyncIterator[AuditJournal]:
    journal = open_journal(AuditSettings(directory=directory, reads=reads, log=log or ChainedLogSettings()))
    assert journal is not None
    async with alongside(journal.run()):
        await asyncio.sleep(0)
        yield journal


def written(directory: Path) -> list[dict[str, Any]]:
    """Everything but the log's own opening."""
    records = [msgspec.json.decode(entry.record) for entry in reading.forwards(directory)]
    return [record for record in records if record["type"] != "log.segment"]


def read(number: int = 0) -> RequestRecord:
    return audited.record(b"GET /api/v1/namespaces/a/pods/p%d" % number, given=GRANT)


def write() -> RequestRecord:
    return audited.record(b"DELETE /api/v1/namespaces/a/pods/b", given=GRANT)


async def test_a_read_has_one_record_written_at_the_end_of_the_turn(tmp_path: Path):
    async with running(tmp_path) as journal:
        journal.ended(read())
        assert written(tmp_path) == []
        await asyncio.sleep(0)
        assert [record["phase"] for record in written(tmp_path)] == ["ended"]


async def test_what_is_begun_is_written_before_it_leaves(tmp_path: Path):
    async with running(tmp_path) as journal:
        record = write()
        journal.begun(record)
        assert [(r["phase"], r["request_id"]) for r in written(tmp_path)] == [("begun", record.request_id)]


async def test_a_retry_is_told_by_its_number_under_the_same_id(tmp_path: Path):
    async with running(tmp_path) as journal:
        record = write()
        journal.begun(record)
        journal.begun(record)
        told = [(r["request_id"], r["attempt"]) for r in written(tmp_path)]
        assert told == [(record.request_id, 1), (record.request_id, 2)]


async def test_an_answer_waits_until_its_record_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    synced: list[bytes] = []
    real = log_module._sync_files

    def sync(files: list[int], directory: Path | None) -> None:
        real(files, directory)
        synced.append(max(tmp_path.glob("segment-*")).read_bytes())

    monkeypatch.setattr(log_module, "_sync_files", sync)
    async with running(tmp_path) as journal:
        record, holder = write(), Holder()
        record.status = 200
        journal.begun(record)
        assert journal.answered(record, holder) is False
        assert not holder.told.is_set()
        await holder.told.wait()
        assert b'"phase":"answered"' in synced[-1]


async def test_an_answer_that_crashes_holds_up_no_other_and_does_not_end_the_log(tmp_path: Path):
    class Broken:
        def record_durable(self) -> None:
            raise AssertionError("a bug")

    async with running(tmp_path) as journal:
        holders = [Broken(), Holder(), Broken(), Holder()]
        for holder in holders:
            journal.answered(write(), holder)
        for holder in holders:
            if isinstance(holder, Holder):
                await holder.told.wait()
        last = Holder()
        journal.answered(write(), last)
        await last.told.wait()


async def test_a_write_has_three_records_with_its_end(tmp_path: Path):
    async with running(tmp_path) as journal:
        record, holder = write(), Holder()
        journal.begun(record)
        record.status = 200
        journal.answered(record, holder)
        record.outcome = "completed"
        journal.ended(record)
    told = [(r["phase"], r.get("status", 0), r.get("outcome", "")) for r in written(tmp_path)]
    assert told == [("begun", 0, ""), ("answered", 200, ""), ("ended", 200, "completed")]
    assert verification.verify(tmp_path).fault is None


async def test_reads_can_be_left_out_and_writes_cannot(tmp_path: Path):
    async with running(tmp_path, reads=False) as journal:
        journal.ended(read())
        journal.ended(write())
    assert [record["target"]["verb"] for record in written(tmp_path)] == ["delete"]


async def test_nobody_has_no_record(tmp_path: Path):
    async with running(tmp_path) as journal:
        journal.ended(audited.record(b"GET /api"))
    assert written(tmp_path) == []


async def test_what_ended_in_the_last_turn_is_written_when_kas_stops(tmp_path: Path):
    async with running(tmp_path) as journal:
        journal.ended(read())
    assert len(written(tmp_path)) == 1


async def test_many_ends_in_one_turn_do_not_pile_up(tmp_path: Path):
    async with running(tmp_path) as journal:
        for number in range(1500):
            journal.ended(read(number))
        assert len(written(tmp_path)) == 1024
        await asyncio.sleep(0)
        assert len(written(tmp_path)) == 1500


async def test_a_log_that_cannot_be_written_refuses_writes_and_counts_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with running(tmp_path) as journal:
        with monkeypatch.context() as patched:
            patched.setattr(ChainedLog, "_write", _full)
            with pytest.raises(JournalUnavailableError, match=r"segment-00000001\.jsonl"):
                journal.begun(write())
            for number in range(3):
                journal.ended(read(number))
                await asyncio.sleep(0)
        journal.begun(write())
    first, second = written(tmp_path)
    assert (first["type"], first["records"]) == ("records_dropped", 3)
    assert second["phase"] == "begun"
    assert verification.verify(tmp_path).fault is None


async def test_a_disk_that_does_not_keep_up_refuses_writes(tmp_path: Path):
    async with running(tmp_path, log=ChainedLogSettings(max_unsynced_bytes=1000)) as journal:
        for number in range(10):
            journal.ended(read(number))
        journal._write_ended()
        with pytest.raises(JournalUnavailableError, match="wait for the disk"):
            journal.begun(write())


async def test_an_answer_is_not_hidden_when_its_record_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with running(tmp_path) as journal:
        record = write()
        journal.begun(record)
        with monkeypatch.context() as patched:
            patched.setattr(ChainedLog, "_write", _full)
            assert journal.answered(record, Holder()) is True


async def test_an_answer_is_not_held_for_ever_by_a_disk_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with running(tmp_path) as journal:
        holder = Holder()
        monkeypatch.setattr(log_module, "_sync_files", _full)
        assert journal.answered(write(), holder) is False
        await holder.told.wait()
        monkeypatch.undo()


async def test_without_a_directory_there_is_no_journal():
    assert open_journal(AuditSettings()) is None


async def test_who_was_turned_away_at_the_door_is_not_in_it(tmp_path: Path):
    async with running(tmp_path) as journal:
        journal.turned_away(None, "192.0.2.1", 401)  # type: ignore[arg-type]
    assert written(tmp_path) == []


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")
