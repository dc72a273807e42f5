"""Reads a chained log while it grows, in any process: from the end, from the beginning, or as it comes. Blocking.

Readers do not judge: a line that is none is passed over, and `verification` tells of it. Memory is bounded by a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from kasbah.kit.chained_log import chain, segments
from kasbah.kit.chained_log.chain import MAX_LINE_BYTES, Entry
from kasbah.kit.chained_log.segments import Segment

_BLOCK: Final = 64 * 1024


def forwards(directory: Path, *, after: int = 0) -> Iterator[Entry]:
    """The entries behind this number, oldest first.

    Raises:
        LogUnreadableError: the directory cannot be read.
    """
    for segment in _from(segments.list_segments(directory), after):
        for entry in _entries(segment, after):
            if entry.sequence > after:
                yield entry


def backwards(directory: Path, *, before: int = 0) -> Iterator[Entry]:
    """The entries before this number, newest first; 0: from the end.

    Raises:
        LogUnreadableError: the directory cannot be read.
    """
    for segment in reversed(segments.list_segments(directory)):
        found = segments.read_opening(segment) if before else None
        if found is not None and found[1].sequence >= before:
            continue
        for entry in _reversed_entries(segment, before):
            if not before or entry.sequence < before:
                yield entry


class Follower:
    """Gives what was added since it was asked last."""

    def __init__(self, directory: Path, *, after: int) -> None:
        self._directory = directory
        self._after = after
        self._segment = 0
        self._offset = 0

    def read_new(self) -> Iterator[Entry]:
        """What is new, oldest first; a line that is being written comes the next time.

        Raises:
            LogUnreadableError: the directory cannot be read.
        """
        files = segments.list_segments(self._directory)
        if not self._segment:
            files = _from(files, self._after)
        for segment in files:
            if segment.number >= self._segment:
                yield from self._read_on(segment)

    def _read_on(self, segment: Segment) -> Iterator[Entry]:
        if segment.number != self._segment:
            self._segment, self._offset = segment.number, 0
        try:
            file = segment.path.open("rb")
        except FileNotFoundError:  # removed to make room, since the list was made
            return
        with file:
            file.seek(self._offset)
            for line in segments.lines(file):
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                entry = chain.parse(line)
                if entry is not None and entry.sequence > self._after:
                    yield entry


def _from(files: list[Segment], after: int) -> list[Segment]:
    """Those that may hold something behind this number."""
    for place in range(len(files) - 1, 0, -1):
        found = segments.read_opening(files[place])
        if found is not None and found[1].sequence <= after + 1:
            return files[place:]
    return files


def _entries(segment: Segment, after: int) -> Iterator[Entry]:
    try:
        with segment.path.open("rb") as file:
            file.seek(segments.find_line(file, after + 1) if after else 0)
            for line in segments.lines(file):
                entry = chain.parse(line)
                if entry is not None:
                    yield entry
    except FileNotFoundError:  # removed to make room, since the list was made
        return


def _reversed_entries(segment: Segment, before: int) -> Iterator[Entry]:
    try:
        with segment.path.open("rb") as file:
            end = segments.find_line(file, before) if before else file.seek(0, 2)
            for line in _reversed_lines(file, end):
                entry = chain.parse(line)
                if entry is not None:
                    yield entry
    except FileNotFoundError:
        return


def _reversed_lines(file: BinaryIO, place: int) -> Iterator[bytes]:
    """The whole lines before this place, last first."""
    rest = b""
    while place:
        size = min(_BLOCK, place)
        place -= size
        file.seek(place)
        first, *whole = (file.read(size) + rest).splitlines(keepends=True)
        yield from reversed(whole)
        rest = first if len(first) <= MAX_LINE_BYTES else b""
    if rest:
        yield rest
