from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kasbah.kit.chained_log import segments
from kasbah.kit.chained_log.errors import LogUnreadableError
from kasbah.kit.chained_log.log import ChainedLog
from kasbah.kit.chained_log.segments import Segment

AT = datetime(2026, 11, 21, tzinfo=UTC)


def written(directory: Path, *records: bytes) -> Segment:
    log = ChainedLog(directory, utc_now=lambda: AT)
    log.append(records)
    log.close()
    return segments.list_segments(directory)[-1]


def test_files_are_listed_by_their_number_and_strangers_left_out(tmp_path: Path):
    for name in ("segment-00000010.jsonl", "segment-00000009.jsonl", "lock", "segment-1.jsonl"):
        (tmp_path / name).touch()
    assert [segment.number for segment in segments.list_segments(tmp_path)] == [9, 10]


def test_a_directory_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(LogUnreadableError, match="nowhere"):
        segments.list_segments(tmp_path / "nowhere")


def test_a_segment_begins_with_its_number_and_the_id_of_its_log(tmp_path: Path):
    found = segments.read_opening(written(tmp_path, b"{}"))
    assert found is not None
    opening, entry = found
    assert (opening.segment, opening.at, entry.sequence) == (1, "2026-11-21T00:00:00.000Z", 1)
    assert len(opening.log) == 32


def test_another_record_is_no_opening(tmp_path: Path):
    segment = written(tmp_path, b'{"type":"x"}')
    second = segment.path.read_bytes().splitlines(keepends=True)[1]
    segment.path.write_bytes(second)
    assert segments.read_opening(segment) is None
    assert segments.scan(segment) is None


def test_a_file_that_has_gone_has_no_opening(tmp_path: Path):
    assert segments.read_opening(Segment(number=1, path=tmp_path / "gone")) is None


def test_a_scan_ends_where_the_chain_does(tmp_path: Path):
    segment = written(tmp_path, b'{"n":1}', b'{"n":2}', b'{"n":3}')
    lines = segment.path.read_bytes().splitlines(keepends=True)
    segment.path.write_bytes(lines[0] + lines[1] + lines[3])
    scan = segments.scan(segment)
    assert scan is not None
    assert (scan.head.sequence, scan.good_bytes) == (2, len(lines[0] + lines[1]))


def test_the_rest_of_a_file_is_described_by_its_size_and_hash(tmp_path: Path):
    segment = written(tmp_path, b"{}")
    good_bytes = segment.path.stat().st_size
    assert segments.set_aside(segment, good_bytes) is None
    with segment.path.open("ab") as file:
        file.write(b"half\nand a half")
    aside = segments.set_aside(segment, good_bytes)
    assert aside is not None
    assert (aside.good_bytes, aside.bytes, aside.whole_lines) == (good_bytes, 15, 1)
    assert aside.sha256 == hashlib.sha256(b"half\nand a half").hexdigest()
