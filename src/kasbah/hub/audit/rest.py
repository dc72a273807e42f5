"""`/kasbah/audit_records` and `/kasbah/audit_verification`: routes of ours, for administrators alone."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any, Final, Literal

import msgspec

from kasbah.hub.audit.service import AuditService
from kasbah.hub.rest.access import API
from kasbah.hub.rest.call import Call
from kasbah.hub.rest.pages import Page, Paginated
from kasbah.hub.rest.parameters import ParametersError
from kasbah.hub.rest.reply import Reply
from kasbah.hub.rest.router import Route
from kasbah.kit.chained_log.verification import Verification
from kasbah.wire.audit_record import AuditFilter

_MOMENT: Final = re.compile(r"(?:\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?Z)?)?")
_HASH: Final = re.compile(r"(?:[0-9a-fA-F]{64})?")


class RecordsAsked(Paginated, frozen=True, kw_only=True):
    """`page` is 1, or what `X-Next-Page` said: a place in a log that grows, and no count."""

    agent_id: int = 0
    user: str = ""
    namespace: str = ""
    verb: str = ""
    since: str = ""
    """UTC: `2026-11-21`, or `2026-11-21T12:00:00Z`."""
    request_id: str = ""
    failed: bool = False
    sort: Literal["desc", "asc"] = "desc"


class VerificationAsked(msgspec.Struct, frozen=True, kw_only=True):
    head: str = ""
    """A hash that the log had once."""


class AuditRest:
    """The routes."""

    def __init__(self, service: AuditService) -> None:
        self._service = service

    def routes(self) -> list[Route[Any]]:
        return [
            Route("GET", "/kasbah/audit_records", self.records, RecordsAsked, API),
            Route("GET", "/kasbah/audit_verification", self.verification, VerificationAsked, API),
        ]

    async def records(self, call: Call, parameters: RecordsAsked) -> Reply:
        call.require_admin()
        if not _MOMENT.fullmatch(parameters.since):
            raise ParametersError(["since is invalid"])
        page = Page.of(parameters)
        oldest_first = parameters.sort == "asc"
        asked = AuditFilter(
            agent_id=parameters.agent_id,
            user=parameters.user,
            namespace=parameters.namespace,
            verb=parameters.verb,
            since=parameters.since.removesuffix("Z"),
            request_id=parameters.request_id,
            failed=parameters.failed,
        )
        place = page.number - 1 if oldest_first else page.number if page.number > 1 else 0
        found = await self._service.find(asked, limit=page.size, place=place, oldest_first=oldest_first)
        following = _following(found.read_upto, oldest_first=oldest_first)
        return Reply(found.records, headers={"X-Next-Page": following, "X-Per-Page": str(page.size)})

    async def verification(self, call: Call, parameters: VerificationAsked) -> Reply:
        call.require_admin()
        if not _HASH.fullmatch(parameters.head):
            raise ParametersError(["head is invalid"])
        return Reply(_shown(await self._service.verify(parameters.head)))


def _following(read_upto: int, *, oldest_first: bool) -> str:
    """The next page, which is never called 1: that is where everybody begins."""
    if oldest_first:
        return str(read_upto + 1) if read_upto else ""
    return str(read_upto) if read_upto > 1 else ""


def _shown(found: Verification) -> dict[str, object]:
    fault = found.fault
    return {
        "log": found.log_id,
        "first": found.first,
        "sequence": found.head.sequence,
        "hash": found.head.digest.decode(),
        "records": found.lines,
        "segments": found.segments,
        "set_aside": [msgspec.structs.asdict(aside) for aside in found.set_aside],
        "fault": None if fault is None else asdict(fault),
    }
