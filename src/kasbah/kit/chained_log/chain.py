"""One line of a chained log: a number, a hash, a record; and how the hash comes about. Pure.

    {"seq":7,"hash":"<64 hexadecimal digits>","record":{…}}

The hash is SHA-256 over the text `<hash of the line before>:<seq>:<record, byte for byte>`. Before the first line stands
the genesis, which is made of the log's random id, so two logs never have a line in common.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MAX_RECORD_BYTES: Final = 64 * 1024
MAX_LINE_BYTES: Final = MAX_RECORD_BYTES + 128
_LINE: Final = re.compile(rb'\{"seq":([1-9][0-9]{0,17}),"hash":"([0-9a-f]{64})","record":(\{[^\n]*\})\}\n')


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line that was read."""

    sequence: int
    digest: bytes
    """The line's hash, as hexadecimal digits."""
    record: bytes
    """A JSON object, as it was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a log stands: everything up to here follows from this hash."""

    sequence: int
    digest: bytes


def genesis(log_id: str) -> Head:
    """What the first line is chained to."""
    return Head(sequence=0, digest=hashlib.sha256(b"chained log " + log_id.encode()).hexdigest().encode())


def link(previous: bytes, sequence: int, record: bytes) -> bytes:
    """The hash of this record behind that one."""
    return hashlib.sha256(b"%b:%d:%b" % (previous, sequence, record)).hexdigest().encode()


def extend(head: Head, records: Iterable[bytes]) -> tuple[Head, bytes]:
    """The new head, and the lines that lead to it."""
    sequence, digest = head.sequence, head.digest
    lines = []
    for record in records:
        sequence += 1
        digest = link(digest, sequence, record)
        lines.append(b'{"seq":%d,"hash":"%b","record":%b}\n' % (sequence, digest, record))
    return Head(sequence=sequence, digest=digest), b"".join(lines)


def parse(line: bytes) -> Entry | None:
    """The entry of a whole line; None when it is not one. Says nothing of its hash."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    return Entry(sequence=int(found[1]), digest=found[2], record=found[3])
