"""The journal that writes the access log: it hears of ends alone."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote_plus

import msgspec

from kasbah.kas.access_log.settings import AccessLogSettings
from kasbah.kas.access_log.writer import LineWriter
from kasbah.kas.kubernetes_api.record import NoJournal, RequestRecord
from kasbah.wire.http1 import RequestHead

_MAX_PATH: Final = 2048
_MAX_WORD: Final = 256
_MAX_PARAMETERS: Final = 32
_encoder: Final = msgspec.json.Encoder()


class AccessLogLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line."""

    at: str
    request_id: str = ""
    """As in the audit log; a request that was turned away at the door has none."""
    trace_id: str = ""
    client_address: str
    method: str
    path: str
    """Without the query."""
    parameters: tuple[str, ...] = ()
    """The names of the query's parameters."""
    agent_id: int = 0
    user: str = ""
    """Empty when nobody was let in."""
    verb: str = ""
    upgrade: str = ""
    status: int
    received: int = 0
    sent: int = 0
    duration_ms: float = 0.0
    outcome: str = ""
    user_agent: str = ""


class AccessLog(NoJournal):
    """Writes a line for each request that ended, whoever answered it; `run` it."""

    def __init__(self, settings: AccessLogSettings) -> None:
        """Raises AccessLogFileError: the file cannot be opened."""
        self._writer = LineWriter(settings)

    async def run(self) -> None:
        """Write until cancelled."""
        await self._writer.run()

    def ended(self, record: RequestRecord) -> None:
        request, grant = record.request, record.grant
        method, _, _ = request.head.partition(b" ")
        path, _, query = request.target.raw.partition(b"?")
        self._write(
            AccessLogLine(
                at=_now(),
                request_id=record.request_id,
                trace_id=record.trace_id,
                client_address=record.client_address,
                method=_text(method),
                path=_text(path[:_MAX_PATH]),
                parameters=_names(query),
                agent_id=request.credential.agent_id,
                user=grant.access.username if grant is not None else "",
                verb=request.target.verb,
                upgrade=request.upgrade,
                status=record.status,
                received=record.received,
                sent=record.sent,
                duration_ms=round((time.monotonic() - record.started_at) * 1000, 3),
                outcome=record.outcome,
                user_agent=_text(record.user_agent[:_MAX_WORD]),
            )
        )

    def turned_away(self, head: RequestHead, client_address: str, status: int) -> None:
        path, _, query = head.target.partition(b"?")
        self._write(
            AccessLogLine(
                at=_now(),
                client_address=client_address,
                method=_text(head.method),
                path=_text(path[:_MAX_PATH]),
                parameters=_names(query),
                status=status,
                outcome="refused",
                user_agent=_text(head.value(b"user-agent")[:_MAX_WORD]),
            )
        )

    def _write(self, line: AccessLogLine) -> None:
        self._writer.write(_encoder.encode(line) + b"\n")


def open_access_log(settings: AccessLogSettings) -> AccessLog | None:
    """The access log, when the settings want one.

    Raises:
        AccessLogFileError: its file cannot be opened.
    """
    return AccessLog(settings) if settings.file else None


def _names(query: bytes) -> tuple[str, ...]:
    pairs = query.split(b"&", _MAX_PARAMETERS)[:_MAX_PARAMETERS] if query else ()
    return tuple(unquote_plus(_text(pair.partition(b"=")[0][:_MAX_WORD])) for pair in pairs)


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
