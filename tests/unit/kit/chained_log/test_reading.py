from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from kasbah.kit.chained_log import reading
from kasbah.kit.chained_log.chain import Entry
from kasbah.kit.chained_log.log import ChainedLog
from kasbah.kit.chained_log.settings import ChainedLogSettings

SMALL = ChainedLogSettings(segment_bytes=2000)


def numbers(entries: list[Entry]) -> list[int]:
    """Ours, without the log's own records."""
    records = [msgspec.json.decode(entry.record) for entry in entries]
    return [record["n"] for record in records if "n" in record]


@pytest.fixture
def log(tmp_path: Path):
    made = ChainedLog(tmp_path, SMALL)
    for number in range(100):
        made.append([b'{"n":%d}' % number])
    assert made.segment > 3
    yield made
    made.close()


def test_a_log_is_read_from_the_beginning_while_it_is_written(log: ChainedLog, tmp_path: Path):
    entries = list(reading.forwards(tmp_path))
    assert numbers(entries) == list(range(100))
    assert [entry.sequence for entry in entries] == list(range(1, log.head.sequence + 1))


def test_a_log_is_read_from_the_end(log: ChainedLog, tmp_path: Path):
    assert list(reading.backwards(tmp_path)) == list(reading.forwards(tmp_path))[::-1]
    assert next(reading.backwards(tmp_path)).sequence == log.head.sequence


@pytest.mark.parametrize("place", [1, 2, 17, 18, 19, 55, 104])
@pytest.mark.usefixtures("log")
def test_reading_begins_anywhere(tmp_path: Path, place: int):
    everything = list(reading.forwards(tmp_path))
    assert list(reading.forwards(tmp_path, after=place)) == everything[place:]
    assert list(reading.backwards(tmp_path, before=place)) == everything[: place - 1][::-1]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """One segment of 2 MB, with something in the middle that is no line."""
    log = ChainedLog(tmp_path)
    log.append([b'{"n":%d,"text":"%b"}' % (number, b"x" * 900) for number in range(2000)])
    log.close()
    (segment,) = tmp_path.glob("segment-*")
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[1000:1000] = [b"nothing\n" * 20_000, b"y" * 200_000 + b"\n"]
    segment.write_bytes(b"".join(lines))
    return tmp_path


@pytest.mark.parametrize("place", [1, 2, 3, 700, 999, 1000, 1001, 1002, 1700, 2000, 2001, 2002, 9000])
def test_reading_begins_anywhere_in_a_large_segment(large: Path, place: int):
    everything = list(reading.forwards(large))
    assert list(reading.forwards(large, after=place)) == everything[place:]
    assert list(reading.backwards(large, before=place)) == everything[: place - 1][::-1]


@pytest.mark.parametrize("place", [300, 1800])
def test_a_page_does_not_read_what_lies_before_it(large: Path, place: int, monkeypatch: pytest.MonkeyPatch):
    parsed: list[bytes] = []
    parse = reading.chain.parse

    def counted(line: bytes) -> Entry | None:
        parsed.append(line)
        return parse(line)

    monkeypatch.setattr(reading.chain, "parse", counted)
    assert next(reading.forwards(large, after=place)).sequence == place + 1
    assert next(reading.backwards(large, before=place)).sequence == place - 1
    assert sum(line.startswith(b"{") for line in parsed) < 250


def test_long_lines_are_read_from_the_end_across_blocks(tmp_path: Path):
    log = ChainedLog(tmp_path)
    for number in range(12):
        log.append([b'{"n":%d,"text":"%b"}' % (number, b"x" * 30_000)])
    log.close()
    assert numbers(list(reading.backwards(tmp_path))) == list(range(12))[::-1]


def test_a_line_that_is_none_is_passed_over(log: ChainedLog, tmp_path: Path):
    log.close()
    newest = max(tmp_path.glob("segment-*"))
    newest.write_bytes(newest.read_bytes() + b"nothing\n" + b"x" * 200_000)
    assert numbers(list(reading.backwards(tmp_path))) == list(range(100))[::-1]
    assert numbers(list(reading.forwards(tmp_path))) == list(range(100))


def test_a_follower_is_given_only_what_is_new(log: ChainedLog, tmp_path: Path):
    follower = reading.Follower(tmp_path, after=log.head.sequence)
    assert list(follower.read_new()) == []
    for number in range(100, 130):
        log.append([b'{"n":%d}' % number])
    assert numbers(list(follower.read_new())) == list(range(100, 130))
    assert list(follower.read_new()) == []


def test_a_follower_waits_for_the_end_of_a_line_and_never_tells_one_twice(log: ChainedLog, tmp_path: Path):
    follower = reading.Follower(tmp_path, after=0)
    assert numbers(list(follower.read_new())) == list(range(100))
    log.append([b'{"n":100}'])
    newest = max(tmp_path.glob("segment-*"))
    whole = newest.read_bytes()
    newest.write_bytes(whole[:-5])
    assert list(follower.read_new()) == []
    newest.write_bytes(whole)
    assert numbers(list(follower.read_new())) == [100]
    assert list(follower.read_new()) == []


def test_a_segment_that_was_removed_meanwhile_is_passed_over(
    log: ChainedLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files = reading.segments.list_segments(tmp_path)
    monkeypatch.setattr(reading.segments, "list_segments", lambda _: files)
    files[0].path.unlink()
    assert numbers(list(reading.forwards(tmp_path)))[-1] == 99
    assert numbers(list(reading.backwards(tmp_path)))[0] == 99
    assert numbers(list(reading.Follower(tmp_path, after=0).read_new()))[-1] == 99
