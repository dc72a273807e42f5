"""The journal that writes the audit log.

A record that must be there before something happens is written at once; what merely ended is written at the end of the
loop's turn, all of it in one write. When the log takes nothing any more (the disk is full, or does not keep up), what
would change something is refused and the rest is counted as dropped, and the log says how much was dropped as soon as it
can be written again.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import msgspec
import structlog
from prometheus_client import Counter

from kasbah.errors import PeerError
from kasbah.kas.audit.rendering import Renderer
from kasbah.kas.audit.settings import AuditSettings
from kasbah.kas.kubernetes_api.record import AnswerHolder, JournalUnavailableError, RequestRecord
from kasbah.kit.chained_log.log import ChainedLog
from kasbah.wire.audit_record import DROPPED, Phase
from kasbah.wire.http1 import RequestHead

_log = structlog.get_logger()
RECORDS: Final = Counter("kasbah_kas_audit_records", "Records written to the audit log")
DROPPED_RECORDS: Final = Counter(
    "kasbah_kas_audit_dropped_records", "Records of ended requests that the audit log could not take"
)
REFUSED_REQUESTS: Final = Counter(
    "kasbah_kas_audit_refused_requests",
    "Requests that were not sent because their record could not be written",
)
NOT_DURABLE: Final = Counter(
    "kasbah_kas_audit_answers_not_durable",
    "Answers passed on although the disk refused to keep their record",
)
_MOST_IN_A_TURN: Final = 1024


class DroppedRecords(msgspec.Struct, frozen=True, tag_field="type", tag=DROPPED, kw_only=True):
    """What the log says when it can be written again."""

    at: str
    since: str
    records: int


class AuditJournal:
    """Writes the audit log; `run` it until the last request has ended."""

    def __init__(self, log: ChainedLog, *, reads: bool) -> None:
        self._chained_log = log
        self._reads = reads
        self._renderer = Renderer()
        self._ended: list[RequestRecord] = []
        self._dropped = 0
        self._dropped_since = 0.0
        self._segment_told = 0

    async def run(self) -> None:
        """Keep the log on the disk until cancelled, then close it."""
        self._tell_head()
        try:
            await self._chained_log.run()
        finally:
            self._write_ended()
            self._chained_log.close()
            self._tell_head()

    # From the proxy.

    def begun(self, record: RequestRecord) -> None:
        record.attempts += 1
        try:
            self._append([self._rendered(record, "begun")])
        except PeerError as error:
            REFUSED_REQUESTS.inc()
            raise JournalUnavailableError(str(error), retryable=True) from error

    def answered(self, record: RequestRecord, then: AnswerHolder) -> bool:
        try:
            sequence = self._append([self._rendered(record, "answered")])
        except PeerError as error:
            # The cluster has done it: to hide the answer would not undo that, and the log knows that it was sent.
            NOT_DURABLE.inc()
            self._failing(error, 1)
            return True
        self._chained_log.when_durable(sequence, lambda durable: _go_on(then, durable=durable))
        return False

    def ended(self, record: RequestRecord) -> None:
        if record.grant is None or not (self._reads or record.mutating):
            return
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._write_ended)
        self._ended.append(record)
        if len(self._ended) >= _MOST_IN_A_TURN:
            self._write_ended()

    def turned_away(self, head: RequestHead, client_address: str, status: int) -> None:
        """Nobody is known who could have done it, so there is no record."""

    # The steps.

    def _write_ended(self) -> None:
        ended, self._ended = self._ended, []
        if not ended:
            return
        now, at, render = time.monotonic(), time.time(), self._renderer.render
        try:
            self._append([render(record, "ended", now=now, at=at) for record in ended])
        except PeerError as error:
            self._failing(error, len(ended))

    def _rendered(self, record: RequestRecord, phase: Phase) -> bytes:
        return self._renderer.render(record, phase, now=time.monotonic(), at=time.time())

    def _append(self, records: list[bytes]) -> int:
        if self._dropped:
            records = [self._confession(), *records]
        sequence = self._chained_log.append(records)
        RECORDS.inc(len(records))
        if self._dropped:
            _log.warning("audit log is written again", dropped=self._dropped)
            self._dropped = 0
        if self._chained_log.segment != self._segment_told:
            self._tell_head()
        return sequence

    def _confession(self) -> bytes:
        timestamp = self._renderer.timestamp
        return msgspec.json.encode(
            DroppedRecords(
                at=timestamp(time.time()), since=timestamp(self._dropped_since), records=self._dropped
            )
        )

    def _failing(self, error: PeerError, records: int) -> None:
        if not self._dropped:
            self._dropped_since = time.time()
            _log.error("audit log cannot be written", error=str(error))
        self._dropped += records
        DROPPED_RECORDS.inc(records)

    def _tell_head(self) -> None:
        """Where the log stands, in another log: who keeps that one can tell when this one was cut or rewritten."""
        head = self._chained_log.head
        self._segment_told = self._chained_log.segment
        _log.info("audit log head", sequence=head.sequence, hash=head.digest.decode())


def open_journal(settings: AuditSettings) -> AuditJournal | None:
    """The journal, when the settings want one.

    Raises:
        LogTakenError: another kas writes there.
        LogUnreadableError: nothing can be read of the log that is there.
        LogWriteError: the directory cannot be written.
    """
    if settings.directory is None:
        return None
    return AuditJournal(ChainedLog(settings.directory, settings.log), reads=settings.reads)


def _go_on(then: AnswerHolder, *, durable: bool) -> None:
    if not durable:
        NOT_DURABLE.inc()
        _log.error("audit record not durable, answer passed on")
    try:
        then.record_durable()
    except Exception:  # noqa: BLE001 - the border: the log, and all others who wait for it, go on
        _log.exception("an answer whose record is durable crashed")
