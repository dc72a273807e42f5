"""Where `kasbah audit` reads: the hub, as an administrator, or the log's own files, without anybody's help.

Both give the same objects: a record with its number in the log as `id`, and its `hash`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from kasbah.cli.resources import AuditProof, AuditRecordShown, Json
from kasbah.kit.chained_log import reading, segments, verification
from kasbah.kit.chained_log.chain import Entry
from kasbah.kit.chained_log.errors import LogUnreadableError
from kasbah.wire import audit_record
from kasbah.wire.audit_record import AuditFilter, Horizon

if TYPE_CHECKING:
    from kasbah.cli.api_client import ApiClient
    from kasbah.cli.terminal import Terminal


class AuditSource(Protocol):
    """A place to read the audit log."""

    def records(self, asked: AuditFilter, *, oldest_first: bool = False) -> Iterator[AuditRecordShown]:
        """The records asked for, as they are found."""

    def verify(self, known_head: str) -> AuditProof:
        """The proof of the chain, or its first fault."""


@contextmanager
def open_source(directory: Path | None, here: Terminal) -> Iterator[AuditSource]:
    """The files, when a directory is given, or else the hub."""
    if directory is not None:
        yield FilesSource(directory)
        return
    with _connected(here) as api:
        yield HubSource(api)


def _connected(here: Terminal) -> AbstractContextManager[ApiClient]:
    return here.connect()


class FilesSource:
    """The log's files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def records(self, asked: AuditFilter, *, oldest_first: bool = False) -> Iterator[AuditRecordShown]:
        if not segments.list_segments(self._directory):
            raise LogUnreadableError(f"there is no audit log in {self._directory}: no segment-….jsonl")
        read = reading.forwards if oldest_first else reading.backwards
        horizon = Horizon(asked.since)
        for entry in read(self._directory):
            record = audit_record.read(entry.record)
            if record is None:
                continue
            if not oldest_first and horizon.passed(record):
                return
            if asked.admits(record):
                yield _shown(entry)

    def follow(self, asked: AuditFilter) -> Callable[[], Iterator[AuditRecordShown]]:
        """All records asked for, oldest first; each call gives those that came since."""
        follower = reading.Follower(self._directory, after=0)

        def read_new() -> Iterator[AuditRecordShown]:
            for entry in follower.read_new():
                record = audit_record.read(entry.record)
                if record is not None and asked.admits(record):
                    yield _shown(entry)

        return read_new

    def verify(self, known_head: str) -> AuditProof:
        found = verification.verify(self._directory, known_head=known_head)
        return {
            "log": found.log_id,
            "first": found.first,
            "sequence": found.head.sequence,
            "hash": found.head.digest.decode(),
            "records": found.lines,
            "segments": found.segments,
            "set_aside": [msgspec.structs.asdict(aside) for aside in found.set_aside],
            "fault": None if found.fault is None else asdict(found.fault),
        }


class HubSource:
    """The hub beside kas; for administrators."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    def records(self, asked: AuditFilter, *, oldest_first: bool = False) -> Iterator[AuditRecordShown]:
        given = {name: value for name, value in msgspec.structs.asdict(asked).items() if value}
        params = {name: _spelled(value) for name, value in given.items()}
        params["sort"] = "asc" if oldest_first else "desc"
        yield from self._api.iterate("/kasbah/audit_records", AuditRecordShown, params)

    def verify(self, known_head: str) -> AuditProof:
        return self._api.get(
            "/kasbah/audit_verification", AuditProof, {"head": known_head} if known_head else None
        )


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(entry: Entry) -> AuditRecordShown:
    record: Json = msgspec.json.decode(entry.record)
    shown: AuditRecordShown = {"id": entry.sequence, "hash": entry.digest.decode(), **record}  # type: ignore[typeddict-item] # just read
    return shown
