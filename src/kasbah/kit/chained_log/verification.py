"""Proves a chained log, or names the first line that breaks it. Blocking; memory is bounded by a line.

The chain proves itself up to its head. That nothing was cut off at the very end, and that it was not written anew from
some line on, only a head that somebody noted elsewhere can prove: give it.
"""

from __future__ import annotations

import fcntl
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from kasbah.kit.chained_log import chain, segments
from kasbah.kit.chained_log.chain import Entry, Head
from kasbah.kit.chained_log.segments import Segment, SegmentOpening, SegmentRemoved, SetAside


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The first thing that is wrong."""

    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found."""

    log_id: str
    first: int
    """The number of the oldest line that is there; more than 1 when the log removed older ones itself."""
    head: Head
    lines: int
    segments: int
    set_aside: tuple[SetAside, ...]
    """Lines that a crash cut off: they are told of, and no fault."""
    fault: Fault | None


def verify(directory: Path, *, known_head: str = "") -> Verification:
    """Read it all; `known_head` is a hash that the log had once.

    Raises:
        LogUnreadableError: the directory cannot be read.
    """
    files = segments.list_segments(directory)
    walk = _Walk(known_head=known_head.strip().lower().encode())
    if not files:
        walk.fail(segments.path_of(directory, 1), 1, "there is no log")
    for segment in files:
        last = segment is files[-1]
        if not walk.read(segment, written_now=last and _is_written(directory)):
            break
    else:
        walk.finish(files[-1].path if files else directory)
    return walk.result(len(files))


def _is_written(directory: Path) -> bool:
    """Whether a process has the log open for writing."""
    try:
        with (directory / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@dataclass
class _Walk:
    known_head: bytes
    log_id: str = ""
    head: Head | None = None
    first: int = 0
    line: int = 0
    lines: int = 0
    segment: int = 0
    fault: Fault | None = None
    set_aside: list[SetAside] = field(default_factory=list)
    owed: list[tuple[SetAside, Fault]] = field(default_factory=list)
    """What the ends of the last segments hold, and what is wrong with them if the next one does not say so."""
    missing_before: tuple[int, str] | None = None
    """The segment before the first one, and its last hash: the log must say that it removed it."""
    head_found: bool = False

    def fail(self, path: Path, line: int, text: str) -> bool:
        if self.fault is None:
            self.fault = Fault(file=str(path), line=line, text=text)
        return False

    def read(self, segment: Segment, *, written_now: bool) -> bool:
        """Go on through this file; False when something is wrong."""
        if self.segment and segment.number != self.segment + 1:
            missing = segments.path_of(segment.path.parent, self.segment + 1)
            return self.fail(missing, 1, "the segment is missing")
        self.segment, self.line = segment.number, 0
        good_bytes = 0
        with segment.path.open("rb") as file:
            for line in segments.lines(file):
                self.line += 1
                entry = chain.parse(line)
                text = self._wrong_with(line, entry)
                if text:
                    return self._broken(segment, good_bytes, text, written_now=written_now)
                if entry is not None and not self._take(entry):
                    return False
                good_bytes += len(line)
        if not good_bytes:
            return self._broken(segment, 0, "the segment is empty", written_now=written_now)
        return True

    def finish(self, last: Path) -> None:
        """Judge what only the end can tell."""
        if self.owed:
            self.fault = self.fault or self.owed[0][1]
        elif self.missing_before is not None:
            number = self.missing_before[0]
            self.fail(
                segments.path_of(last.parent, number), 1, "the segment is missing, and not by the log itself"
            )
        elif self.known_head and not self.head_found:
            text = f"the head {self.known_head.decode()[:64]} is not in the log: it was cut off before, or written anew"
            self.fail(last, self.line, text)

    def result(self, files: int) -> Verification:
        return Verification(
            log_id=self.log_id,
            first=self.first,
            head=self.head or Head(sequence=0, digest=b""),
            lines=self.lines,
            segments=files,
            set_aside=tuple(self.set_aside),
            fault=self.fault,
        )

    def _wrong_with(self, line: bytes, entry: Entry | None) -> str:
        if entry is None:
            return "not a line of the log" if line.endswith(b"\n") else "the line is cut off"
        if self.line == 1:
            return self._wrong_opening(entry)
        return "" if self.head is None else _wrong_step(self.head, entry)

    def _wrong_opening(self, entry: Entry) -> str:
        opening = segments.opening_of(entry)
        if opening is None:
            return "the segment does not begin with its opening record"
        if opening.segment != self.segment:
            return f"this is segment {opening.segment} under another name"
        if self.head is None:
            self._begin(opening, entry)
        elif opening.log != self.log_id:
            return f"this segment is of another log, {opening.log}"
        return "" if self.head is None else _wrong_step(self.head, entry)

    def _begin(self, opening: SegmentOpening, entry: Entry) -> None:
        """The oldest file there is: the first of all, or the one behind those that the log removed."""
        self.log_id, self.first = opening.log, entry.sequence
        genesis = chain.genesis(opening.log)
        if opening.segment == 1:
            self.head = genesis
        else:
            self.head = Head(sequence=entry.sequence - 1, digest=opening.previous.encode())
            self.missing_before = (opening.segment - 1, opening.previous)

    def _take(self, entry: Entry) -> bool:
        self.head = Head(sequence=entry.sequence, digest=entry.digest)
        self.lines += 1
        self.head_found = self.head_found or entry.digest == self.known_head
        opening = segments.opening_of(entry) if self.line == 1 else None
        if opening is not None and not self._settle(opening):
            return False
        if self.missing_before is not None:
            self._look_for_removal(entry)
        return True

    def _settle(self, opening: SegmentOpening) -> bool:
        """Hold what the opening says was set aside against what is there."""
        self.set_aside += opening.set_aside
        owed, self.owed = self.owed, []
        unsaid = [fault for aside, fault in owed if aside not in opening.set_aside]
        self.fault = self.fault or next(iter(unsaid), None)
        return not unsaid

    def _broken(self, segment: Segment, good_bytes: int, text: str, *, written_now: bool) -> bool:
        """A line that does not follow: a crash's, when the next segment says so and no whole line was lost."""
        aside = segments.set_aside(segment, good_bytes)
        if aside is None or aside.whole_lines or (aside.segment == 1 and not good_bytes):
            return self.fail(segment.path, self.line, text)
        if written_now:
            return True
        self.owed.append((aside, Fault(file=str(segment.path), line=max(self.line, 1), text=text)))
        return True

    def _look_for_removal(self, entry: Entry) -> None:
        if self.missing_before is None or b'"' + segments.REMOVED.encode() + b'"' not in entry.record:
            return
        try:
            removed = msgspec.json.decode(entry.record, type=SegmentRemoved)
        except segments.UNDECODABLE:
            return
        if removed.type == segments.REMOVED and (removed.segment, removed.last_hash) == self.missing_before:
            self.missing_before = None


def _wrong_step(head: Head, entry: Entry) -> str:
    if entry.sequence > head.sequence + 1:
        return f"record {entry.sequence} follows record {head.sequence}: some between are missing or moved"
    if entry.sequence <= head.sequence:
        return f"record {entry.sequence} follows record {head.sequence}: it was moved or put in"
    if entry.digest != chain.link(head.digest, entry.sequence, entry.record):
        return f"record {entry.sequence} does not follow from the one before: one of the two was changed"
    return ""
