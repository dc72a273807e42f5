from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from kasbah.kit.chained_log import verification
from kasbah.kit.chained_log.errors import LogUnreadableError
from kasbah.kit.chained_log.log import ChainedLog
from kasbah.kit.chained_log.settings import ChainedLogSettings

SMALL = ChainedLogSettings(segment_bytes=2000)
Lines = list[bytes]


def write(directory: Path, count: int, settings: ChainedLogSettings = SMALL) -> ChainedLog:
    log = ChainedLog(directory, settings)
    for number in range(count):
        log.append([b'{"n":%d}' % number])
    log.close()
    return log


def change_lines(path: Path, change: Callable[[Lines], None]) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines)
    path.write_bytes(b"".join(lines))


def test_a_whole_log_is_proved_up_to_its_head(tmp_path: Path):
    log = write(tmp_path, 100)
    found = verification.verify(tmp_path)
    assert found.fault is None
    assert (found.first, found.head, found.lines) == (1, log.head, log.head.sequence)
    assert found.segments == log.segment > 3


def _changed(lines: Lines) -> None:
    lines[5] = lines[5].replace(b'"n":', b'"m":')


def _removed(lines: Lines) -> None:
    del lines[5]


def _reordered(lines: Lines) -> None:
    lines[5], lines[6] = lines[6], lines[5]


def _inserted(lines: Lines) -> None:
    lines.insert(5, lines[5])


def _cut_off(lines: Lines) -> None:
    lines[5] = lines[5][:-10] + b"\n"


def _mixed_up(lines: Lines) -> None:
    lines[5] = b"hello\n"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_changed, "was changed"),
        (_removed, "missing or moved"),
        (_reordered, "missing or moved"),
        (_inserted, "put in"),
        (_cut_off, "not a line"),
        (_mixed_up, "not a line"),
    ],
)
@pytest.mark.parametrize("segment", [1, 3])
def test_the_first_fault_is_named_by_file_and_line(
    tmp_path: Path, change: Callable[[Lines], None], says: str, segment: int
):
    write(tmp_path, 100)
    path = tmp_path / f"segment-{segment:08d}.jsonl"
    change_lines(path, change)
    fault = verification.verify(tmp_path).fault
    assert fault is not None
    # A line that was put in twice is found where it stands for the second time.
    assert (fault.file, fault.line) == (str(path), 7 if change is _inserted else 6)
    assert says in fault.text


def test_no_byte_can_be_changed_unseen(tmp_path: Path):
    write(tmp_path, 40)
    files = sorted(tmp_path.glob("segment-*"))
    chance = random.Random(5)
    for _ in range(300):
        path = chance.choice(files)
        whole = path.read_bytes()
        place = chance.randrange(len(whole))
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ (1 << chance.randrange(8))]) + whole[place + 1 :]
        )
        assert verification.verify(tmp_path).fault is not None
        path.write_bytes(whole)
    assert verification.verify(tmp_path).fault is None


def test_a_missing_segment_is_found(tmp_path: Path):
    write(tmp_path, 100)
    gone = tmp_path / "segment-00000002.jsonl"
    gone.unlink()
    fault = verification.verify(tmp_path).fault
    assert fault is not None
    assert (fault.file, fault.text) == (str(gone), "the segment is missing")


def test_a_missing_beginning_is_found(tmp_path: Path):
    write(tmp_path, 100)
    (tmp_path / "segment-00000001.jsonl").unlink()
    fault = verification.verify(tmp_path).fault
    assert fault is not None
    assert "not by the log itself" in fault.text


def test_segments_under_exchanged_names_are_found(tmp_path: Path):
    write(tmp_path, 100)
    one, two = tmp_path / "segment-00000001.jsonl", tmp_path / "segment-00000002.jsonl"
    other = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(other)
    fault = verification.verify(tmp_path).fault
    assert fault is not None
    assert fault.text == "this is segment 2 under another name"


def test_a_segment_of_another_log_is_found(tmp_path: Path):
    write(tmp_path / "a", 100)
    write(tmp_path / "b", 100)
    name = "segment-00000002.jsonl"
    (tmp_path / "a" / name).write_bytes((tmp_path / "b" / name).read_bytes())
    fault = verification.verify(tmp_path / "a").fault
    assert fault is not None
    assert "of another log" in fault.text


def test_a_segment_without_its_opening_is_found(tmp_path: Path):
    write(tmp_path, 100)
    path = tmp_path / "segment-00000002.jsonl"
    change_lines(path, lambda lines: lines.pop(0))
    fault = verification.verify(tmp_path).fault
    assert fault is not None
    assert "opening record" in fault.text


def test_a_cut_at_the_very_end_is_told_by_a_head_that_somebody_noted(tmp_path: Path):
    noted = write(tmp_path, 50).head.digest.decode()
    last = max(tmp_path.glob("segment-*"))
    change_lines(last, lambda lines: lines.pop())
    assert verification.verify(tmp_path).fault is None
    fault = verification.verify(tmp_path, known_head=noted).fault
    assert fault is not None
    assert noted in fault.text


def test_an_older_head_stays_good_while_the_log_grows(tmp_path: Path):
    noted = write(tmp_path, 50).head.digest.decode()
    write(tmp_path, 50)
    assert verification.verify(tmp_path, known_head=noted.upper()).fault is None


def test_a_line_that_a_crash_cut_off_is_a_fault_until_the_log_has_set_it_aside(tmp_path: Path):
    write(tmp_path, 10)
    torn = max(tmp_path.glob("segment-*"))
    torn.write_bytes(torn.read_bytes()[:-10])
    fault = verification.verify(tmp_path).fault
    assert fault is not None
    assert (fault.file, fault.text) == (str(torn), "the line is cut off")
    write(tmp_path, 10)
    found = verification.verify(tmp_path)
    assert found.fault is None
    assert [aside.whole_lines for aside in found.set_aside] == [0]


def test_what_was_set_aside_cannot_be_changed_either(tmp_path: Path):
    write(tmp_path, 10)
    torn = max(tmp_path.glob("segment-*"))
    torn.write_bytes(torn.read_bytes()[:-10])
    write(tmp_path, 10)
    torn.write_bytes(torn.read_bytes()[:-3])
    fault = verification.verify(tmp_path).fault
    assert fault is not None
    assert fault.file == str(torn)


def test_whole_lines_that_no_longer_follow_stay_a_fault_although_the_log_goes_on(tmp_path: Path):
    write(tmp_path, 10)
    damaged = max(tmp_path.glob("segment-*"))
    change_lines(damaged, _changed)
    write(tmp_path, 10)
    found = verification.verify(tmp_path)
    assert found.fault is not None
    assert (found.fault.file, found.fault.line) == (str(damaged), 6)


def test_an_empty_segment_that_the_log_set_aside_is_no_fault(tmp_path: Path):
    log = write(tmp_path, 10)
    (tmp_path / f"segment-{log.segment + 1:08d}.jsonl").touch()
    fault = verification.verify(tmp_path).fault
    assert fault is not None
    assert fault.text == "the segment is empty"
    write(tmp_path, 10)
    assert verification.verify(tmp_path).fault is None


def test_a_line_that_is_being_written_is_no_fault(tmp_path: Path):
    log = ChainedLog(tmp_path)
    path = tmp_path / "segment-00000001.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"seq":2,"ha')
    assert verification.verify(tmp_path).fault is None
    path.write_bytes(whole)
    log.close()


def test_segments_that_the_log_removed_itself_are_no_fault(tmp_path: Path):
    log = write(tmp_path, 300, ChainedLogSettings(segment_bytes=2000, keep_bytes=8000))
    found = verification.verify(tmp_path)
    assert found.fault is None
    assert found.first > 1
    assert found.segments < log.segment


def test_more_removed_than_the_log_says_is_a_fault(tmp_path: Path):
    write(tmp_path, 300, ChainedLogSettings(segment_bytes=2000, keep_bytes=8000))
    min(tmp_path.glob("segment-*")).unlink()
    assert verification.verify(tmp_path).fault is not None


def test_an_empty_directory_holds_no_log(tmp_path: Path):
    fault = verification.verify(tmp_path).fault
    assert fault is not None
    assert fault.text == "there is no log"


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(LogUnreadableError):
        verification.verify(tmp_path / "nowhere")
