"""The files of a chained log: their names, their opening records, and what of one can be read. Blocking.

A segment's first record names the log, the segment's number and the hash before it, so any run of segments can be
verified without those before, and a file that was taken from another log is told.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from kasbah.kit.chained_log import chain
from kasbah.kit.chained_log.chain import MAX_LINE_BYTES, Entry, Head
from kasbah.kit.chained_log.errors import LogUnreadableError

_NAME: Final = re.compile(r"segment-([0-9]{8})\.jsonl")
_BLOCK: Final = 64 * 1024
SEGMENT: Final = "log.segment"
REMOVED: Final = "log.removed"
UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a record that somebody changed may raise when it is read."""


class SetAside(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a segment that was not whole when the log was opened, and stays where it is."""

    segment: int
    good_bytes: int
    """What comes before it."""
    bytes: int
    sha256: str
    whole_lines: int
    """0 when only a line was cut off; more when something within the file was lost or changed."""


class SegmentOpening(msgspec.Struct, frozen=True, kw_only=True):
    """The first record of a segment."""

    type: str
    at: str
    log: str
    segment: int
    previous: str
    """The hash before this record."""
    set_aside: tuple[SetAside, ...] = ()


class SegmentRemoved(msgspec.Struct, frozen=True, kw_only=True):
    """Says that the log itself removed its oldest segment, to make room."""

    type: str
    at: str
    segment: int
    last_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A file of the log."""

    number: int
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """How far a segment follows from its own opening record."""

    opening: SegmentOpening
    head: Head
    good_bytes: int


def path_of(directory: Path, number: int) -> Path:
    return directory / f"segment-{number:08d}.jsonl"


def list_segments(directory: Path) -> list[Segment]:
    """The files, oldest first.

    Raises:
        LogUnreadableError: the directory cannot be read.
    """
    try:
        names = [(match, path) for path in directory.iterdir() if (match := _NAME.fullmatch(path.name))]
    except OSError as error:
        raise LogUnreadableError(f"cannot read the log in {directory}: {error.strerror}") from error
    return sorted((Segment(number=int(m[1]), path=p) for m, p in names), key=lambda segment: segment.number)


def opening_of(entry: Entry | None) -> SegmentOpening | None:
    """The opening record, when this line is one."""
    if entry is None:
        return None
    try:
        opening = msgspec.json.decode(entry.record, type=SegmentOpening)
    except UNDECODABLE:
        return None
    return opening if opening.type == SEGMENT else None


def read_opening(segment: Segment) -> tuple[SegmentOpening, Entry] | None:
    """The segment's opening record with its line; None when it has none that can be read."""
    try:
        with segment.path.open("rb") as file:
            entry = chain.parse(file.readline(MAX_LINE_BYTES))
    except OSError:
        return None
    opening = opening_of(entry)
    return None if opening is None or entry is None else (opening, entry)


def lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines from here on, the last perhaps without its end; one that is too long comes in pieces."""
    while line := file.readline(MAX_LINE_BYTES):
        yield line


def find_line(file: BinaryIO, sequence: int) -> int:
    """Where the first line of this number or a higher one begins; the end when there is none.

    Numbers rise within a file, so it is halved by bytes and only the last piece of it is read line by line.
    """
    low, high = 0, file.seek(0, 2)
    while high - low > _BLOCK:
        middle = (low + high) // 2
        place, found = _line_behind(file, middle, high)
        if found is not None and found.sequence < sequence:
            low = place
        else:
            high = middle
    place = file.seek(low)
    for line in lines(file):
        entry = chain.parse(line)
        if entry is not None and entry.sequence >= sequence:
            break
        place += len(line)
    return place


def _line_behind(file: BinaryIO, middle: int, high: int) -> tuple[int, Entry | None]:
    """The first line that can be read and begins behind `middle`, and before `high`."""
    file.seek(middle)
    place = middle + len(file.readline(MAX_LINE_BYTES))
    for line in lines(file):
        if place >= high:
            break
        entry = chain.parse(line)
        if entry is not None:
            return place, entry
        place += len(line)
    return place, None


def scan(segment: Segment) -> Scan | None:
    """Follow the segment from its opening as far as it holds; None when not even the opening does."""
    opening: SegmentOpening | None = None
    head = Head(sequence=0, digest=b"")
    good_bytes = 0
    with segment.path.open("rb") as file:
        for line in lines(file):
            entry = chain.parse(line)
            if opening is None:
                opening = opening_of(entry)
                if opening is None or entry is None:
                    return None
                head = Head(sequence=entry.sequence - 1, digest=opening.previous.encode())
            if entry is None or not follows(head, entry):
                break
            head = Head(sequence=entry.sequence, digest=entry.digest)
            good_bytes += len(line)
    return Scan(opening=opening, head=head, good_bytes=good_bytes) if opening and good_bytes else None


def follows(head: Head, entry: Entry) -> bool:
    """Whether this line is the one after that head."""
    return entry.sequence == head.sequence + 1 and entry.digest == chain.link(
        head.digest, entry.sequence, entry.record
    )


def set_aside(segment: Segment, good_bytes: int) -> SetAside | None:
    """What the file holds behind its good part; None when that is nothing."""
    digest, size, whole_lines = hashlib.sha256(), 0, 0
    with segment.path.open("rb") as file:
        file.seek(good_bytes)
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
            whole_lines += block.count(b"\n")
    if not size and good_bytes:
        return None
    return SetAside(
        segment=segment.number,
        good_bytes=good_bytes,
        bytes=size,
        sha256=digest.hexdigest(),
        whole_lines=whole_lines,
    )
