"""A request's record as the audit log holds it: bytes of JSON. Told the time; knows no file.

What repeats from request to request, who and what, is made once and remembered, so a record costs about a microsecond.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import Final

import msgspec

from kasbah.errors import Bug
from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.kas.kubernetes_api.record import RequestRecord
from kasbah.kit.chained_log.chain import MAX_RECORD_BYTES
from kasbah.wire.audit_record import (
    AuditedBasis,
    AuditedIdentity,
    AuditedTarget,
    AuditedUser,
    AuditRecord,
    Phase,
    audited_identity,
    audited_query,
)
from kasbah.wire.request_target import ApiTarget

_REMEMBERED: Final = 1024
_REMEMBERED_TARGET_BYTES: Final = 1024
_MAX_PATH: Final = 4096
_MAX_USER_AGENT: Final = 256
_MAX_GROUPS: Final = 64
_MAX_WORD: Final = 256
_MAX_EXTRA: Final = 16
_MAX_EXTRA_VALUES: Final = 2
_MAX_EXTRA_WORD: Final = 64
_encoder: Final = msgspec.json.Encoder()


class Renderer:
    """Makes the records of one log."""

    def __init__(self) -> None:
        self._who: dict[int, tuple[Grant, _Who]] = {}
        self._what: dict[int, tuple[ApiTarget, AuditedTarget]] = {}
        self._at = -1.0
        self._at_text = ""
        self._second = -1
        self._second_text = ""

    def render(self, record: RequestRecord, phase: Phase, *, now: float, at: float) -> bytes:
        """The record of this moment; `now` is of the monotonic clock, `at` of the wall's."""
        made = self._made(record, phase, now=now, at=at)
        rendered = _encoder.encode(made)
        return rendered if len(rendered) <= MAX_RECORD_BYTES else _encoder.encode(_shortened(made))

    def timestamp(self, at: float) -> str:
        """A moment as `2026-11-21T12:00:00.000Z`."""
        if at == self._at:  # all that ended in one turn of the loop
            return self._at_text
        second = int(at)
        if second != self._second:
            self._second, self._second_text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        self._at, self._at_text = at, f"{self._second_text}.{int((at - second) * 1000):03d}Z"
        return self._at_text

    def _made(self, record: RequestRecord, phase: Phase, *, now: float, at: float) -> AuditRecord:
        if record.grant is None:
            raise Bug("a request without a grant has no record")
        request = record.request
        user, identity, basis = self._who_of(record.grant)
        if request.impersonation is not None and record.grant.may_impersonate:
            identity = audited_identity(request.impersonation, "client")
        return AuditRecord(
            phase=phase,
            at=self.timestamp(at),
            request_id=record.request_id,
            trace_id=record.trace_id,
            attempt=record.attempts if phase == "begun" else 0,
            user=user,
            identity=identity,
            basis=basis,
            agent_id=record.grant.agent_id,
            target=self._what_of(request.target),
            status=record.status,
            received=record.received,
            sent=record.sent,
            duration_ms=round((now - record.started_at) * 1000, 3),
            client_address=record.client_address,
            user_agent=record.user_agent[:_MAX_USER_AGENT].decode("latin-1"),
            outcome=record.outcome,
        )

    def _who_of(self, grant: Grant) -> _Who:
        remembered = self._who.get(id(grant))
        if remembered is None:
            if len(self._who) >= _REMEMBERED:
                self._who.clear()
            remembered = self._who[id(grant)] = (grant, _who(grant))
        return remembered[1]

    def _what_of(self, target: ApiTarget) -> AuditedTarget:
        remembered = self._what.get(id(target))
        if remembered is not None:
            return remembered[1]
        what = _what(target)
        if len(target.raw) <= _REMEMBERED_TARGET_BYTES:
            if len(self._what) >= _REMEMBERED:
                self._what.clear()
            self._what[id(target)] = (target, what)
        return what


_Who = tuple[AuditedUser, AuditedIdentity, AuditedBasis | None]


def _who(grant: Grant) -> _Who:
    access = grant.access
    basis = access.basis
    return (
        AuditedUser(
            id=access.user_id,
            username=access.username,
            access_type=access.access_type,
            job_id=access.job_id,
        ),
        audited_identity(access.identity),
        None
        if basis is None
        else AuditedBasis(
            project_path=basis.project_path, file=basis.file, entry=basis.entry, line=basis.line
        ),
    )


def _what(target: ApiTarget) -> AuditedTarget:
    path, _, query = target.raw.partition(b"?")
    return AuditedTarget(
        verb=target.verb,
        group=target.group,
        version=target.version,
        resource=target.resource,
        subresource=target.subresource,
        namespace=target.namespace,
        name=target.name,
        path=path[:_MAX_PATH].decode("latin-1"),
        query=audited_query(query),
    )


def _shortened(made: AuditRecord) -> AuditRecord:
    """The same with what strangers can make long cut: words, groups, extras, the query."""
    identity, target = made.identity, made.target
    groups = [group[:_MAX_WORD] for group in identity.groups[:_MAX_GROUPS]]
    if len(identity.groups) > _MAX_GROUPS:
        groups.append(f"… and {len(identity.groups) - _MAX_GROUPS} more")
    return msgspec.structs.replace(
        made,
        identity=msgspec.structs.replace(
            identity,
            username=identity.username[:_MAX_WORD],
            uid=identity.uid[:_MAX_WORD],
            groups=tuple(groups),
            extra=_shortened_extra(identity.extra),
        ),
        target=msgspec.structs.replace(
            target,
            **{
                name: getattr(target, name)[:_MAX_WORD]
                for name in ("group", "version", "resource", "subresource", "namespace", "name")
            },
            path=target.path[:_MAX_WORD],
            query=(),
        ),
    )


def _shortened_extra(extra: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    shown = {
        key[:_MAX_EXTRA_WORD]: _shortened_values(values)
        for key, values in itertools.islice(extra.items(), _MAX_EXTRA)
    }
    return {**shown, "…": (f"and {len(extra) - len(shown)} more",)} if len(extra) > len(shown) else shown


def _shortened_values(values: tuple[str, ...]) -> tuple[str, ...]:
    shown = tuple(value[:_MAX_EXTRA_WORD] for value in values[:_MAX_EXTRA_VALUES])
    return (*shown, f"… and {len(values) - len(shown)} more") if len(values) > len(shown) else shown
