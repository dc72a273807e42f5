"""Looks records up in the audit log's files, and proves them.

Each question reads a bounded part of the log in a thread: a rare record is found over several pages. A log that is too
large to be proved beside running requests is left to the command line on its machine.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from kasbah.hub.errors import NotFoundError, UnprocessableError
from kasbah.kit.chained_log import reading, segments, verification
from kasbah.kit.chained_log.chain import Entry
from kasbah.kit.chained_log.verification import Verification
from kasbah.wire import audit_record
from kasbah.wire.audit_record import AuditFilter, Horizon

_MOST_READ: Final = 100_000
_MOST_VERIFIED_BYTES: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRecords:
    """A page of records."""

    records: list[dict[str, Any]]
    """Each with its number in the log as `id`, and its `hash`."""
    read_upto: int
    """The number of the last line that was looked at; 0 when there are no more behind it."""


class AuditService:
    """The log in a directory, if there is one."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._verifying = asyncio.Lock()

    async def find(
        self, asked: AuditFilter, *, limit: int, place: int, oldest_first: bool = False
    ) -> FoundRecords:
        """Records from a place of the log on: behind the line `place`, or, newest first, before it.

        Raises:
            NotFoundError: there is no audit log here.
        """
        return await asyncio.to_thread(
            _find_blocking, self._log(), asked, limit=limit, place=place, oldest_first=oldest_first
        )

    async def verify(self, known_head: str) -> Verification:
        """Prove the log; one proof at a time.

        Raises:
            NotFoundError: there is no audit log here.
            UnprocessableError: it is too large to be proved within the server.
        """
        directory = self._log()
        async with self._verifying:
            return await asyncio.to_thread(_verify_blocking, directory, known_head)

    def _log(self) -> Path:
        if self._directory is None:
            raise NotFoundError("Audit Log")
        return self._directory


def _find_blocking(
    directory: Path, asked: AuditFilter, *, limit: int, place: int, oldest_first: bool
) -> FoundRecords:
    entries = (
        reading.forwards(directory, after=place)
        if oldest_first
        else reading.backwards(directory, before=place)
    )
    found: list[dict[str, Any]] = []
    horizon = Horizon(asked.since)
    for number, entry in enumerate(entries, 1):
        record = audit_record.read(entry.record)
        if record is not None and not oldest_first and horizon.passed(record):
            break
        if record is not None and asked.admits(record):
            found.append(_shown(entry))
        if len(found) == limit or number == _MOST_READ:
            return FoundRecords(records=found, read_upto=entry.sequence)
    return FoundRecords(records=found, read_upto=0)


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.sequence,
        "hash": entry.digest.decode(),
        **msgspec.json.decode(entry.record, type=dict[str, Any]),
    }


def _verify_blocking(directory: Path, known_head: str) -> Verification:
    size = sum(segment.path.stat().st_size for segment in segments.list_segments(directory))
    if size > _MOST_VERIFIED_BYTES:
        raise UnprocessableError(
            f"the audit log is too large to be verified here ({size} bytes): on its machine, run "
            f"kasbah audit verify --directory {directory}"
        )
    return verification.verify(directory, known_head=known_head)
