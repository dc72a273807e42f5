"""An audit log on the disk, as a kas would have written it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from kasbah.kit.chained_log.chain import Head
from kasbah.kit.chained_log.log import ChainedLog
from kasbah.wire.audit_record import AuditedIdentity, AuditedTarget, AuditedUser, AuditRecord, Phase


def record(
    name: str, *, ago: timedelta = timedelta(), phase: Phase = "ended", **changes: object
) -> AuditRecord:
    """A pod of this name was deleted by mia; the name is the request's id, too."""
    at = (datetime.now(UTC) - ago).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    target = AuditedTarget(
        verb="delete", version="v1", resource="pods", namespace="web", name=name, path=f"/pods/{name}"
    )
    made = AuditRecord(
        phase=phase,
        at=at,
        request_id=name,
        trace_id="b" * 32,
        user=AuditedUser(id=4, username="mia", access_type="personal_access_token"),
        identity=AuditedIdentity(kind="user", username="gitlab:user:mia"),
        agent_id=7,
        target=target,
        status=200,
        outcome="completed" if phase == "ended" else "",
    )
    return msgspec.structs.replace(made, **changes)


def write(directory: Path, *records: AuditRecord) -> Head:
    """Add them to the log, which is begun when there is none; where it then stands."""
    log = ChainedLog(directory)
    log.append([msgspec.json.encode(each) for each in records])
    log.close()
    return log.head
