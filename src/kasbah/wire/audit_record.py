"""What the audit log says of one proxied request, and which of such records somebody asks for. Pure.

kas writes these records, the hub and the command line read them. The log also holds records of its own and of others;
`read` passes those over. A request has a record when it ends; one that may change something also has one from before it
left (`begun`) and one from before its answer reached the client (`answered`), all under one request id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from urllib.parse import unquote_plus

import msgspec

from kasbah.wire.identity import AsUser, Identity

REQUEST: Final = "kubernetes_request"
DROPPED: Final = "records_dropped"
Phase = Literal["begun", "answered", "ended"]
ChosenBy = Literal["configuration", "client"]
_BAD_OUTCOMES: Final = frozenset({"refused", "cut", "broken"})
_OLDER_IN_A_ROW: Final = 1000
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# Of other parameters only the names are told: a command's words or a selector may hold a secret.
_HARMLESS: Final = frozenset(
    {
        "allowWatchBookmarks",
        "container",
        "dryRun",
        "fieldManager",
        "fieldValidation",
        "follow",
        "force",
        "gracePeriodSeconds",
        "limit",
        "orphanDependents",
        "previous",
        "propagationPolicy",
        "resourceVersion",
        "resourceVersionMatch",
        "sendInitialEvents",
        "stderr",
        "stdin",
        "stdout",
        "tailLines",
        "timeoutSeconds",
        "timestamps",
        "tty",
        "watch",
    }
)


class AuditedUser(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whose credential it was."""

    id: int
    username: str
    access_type: str
    """`personal_access_token`, `session_cookie` or `ci_job`."""
    job_id: int = 0


class AuditedIdentity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As whom the request acted in the cluster."""

    kind: Literal["agent", "user"]
    username: str = ""
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Authorizers in the cluster may go by it."""
    chosen_by: ChosenBy = "configuration"
    """`client`: by `kubectl --as`, which only those may say who act as the agent itself."""


class AuditedBasis(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The entry of the agent's configuration that let them in, as far as that is known."""

    project_path: str
    file: str
    entry: str
    line: int = 0


class AuditedTarget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked for."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str
    """Without the query."""
    query: tuple[str, ...] = ()
    """`name=value` where the value cannot be a secret, else `name`."""


class AuditRecord(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag=REQUEST, gc=False
):
    """One record of one request."""

    phase: Phase
    at: str
    """UTC, `2026-11-21T12:00:00.000Z`."""
    request_id: str
    """The API server's audit log has it as `auditID`."""
    trace_id: str
    attempt: int = 0
    """Of a `begun` record: how often it was about to leave."""
    user: AuditedUser
    identity: AuditedIdentity
    basis: AuditedBasis | None = None
    agent_id: int
    target: AuditedTarget
    status: int = 0
    received: int = 0
    """Bytes of body from the client."""
    sent: int = 0
    """Bytes of body to the client."""
    duration_ms: float = 0.0
    client_address: str = ""
    user_agent: str = ""
    outcome: str = ""
    """Of an `ended` record: `completed`, `refused` by kas, `cancelled` by the client, `cut` because the right ended, `broken`."""

    @property
    def failed(self) -> bool:
        """Whether it came to a bad end: an error, or a way that broke. A client that leaves is none."""
        return self.status >= 400 or self.outcome in _BAD_OUTCOMES


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which records somebody asks for; what is empty excludes nothing."""

    agent_id: int = 0
    user: str = ""
    """A user name, or an id."""
    namespace: str = ""
    verb: str = ""
    since: str = ""
    """As `AuditRecord.at`."""
    request_id: str = ""
    failed: bool = False

    def admits(self, record: AuditRecord) -> bool:
        """Whether this record is asked for."""
        return (
            (not self.agent_id or record.agent_id == self.agent_id)
            and (not self.user or self.user in {record.user.username, str(record.user.id)})
            and (not self.namespace or record.target.namespace == self.namespace)
            and (not self.verb or record.target.verb == self.verb)
            and (not self.request_id or record.request_id == self.request_id)
            and record.at >= self.since
            and (not self.failed or record.failed)
        )


class Horizon:
    """Tells, of records that come newest first, when nothing from a moment on can follow.

    One older record proves nothing: a clock that was set wrong and put right again leaves some in between.
    """

    def __init__(self, since: str) -> None:
        """`since` is as `AuditFilter` has it."""
        self._before = _an_hour_before(since) if since else ""
        self._older = 0

    def passed(self, record: AuditRecord) -> bool:
        """Whether to look no further than this record."""
        self._older = self._older + 1 if record.at < self._before else 0
        return self._older >= _OLDER_IN_A_ROW


def _an_hour_before(moment: str) -> str:
    try:
        at = datetime.fromisoformat(moment)
        at = (at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)) - timedelta(hours=1)
    except (ValueError, OverflowError):  # no day of any calendar, or one of the year 1
        return ""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read(record: bytes) -> AuditRecord | None:
    """The record, when it is one of a request."""
    try:
        return _RECORD.decode(record)
    except _UNREADABLE:
        return None


def audited_identity(identity: Identity, chosen_by: ChosenBy = "configuration") -> AuditedIdentity:
    """An identity as the log tells it."""
    if not isinstance(identity, AsUser):
        return AuditedIdentity(kind="agent", chosen_by=chosen_by)
    return AuditedIdentity(
        kind="user",
        username=identity.username,
        groups=identity.groups,
        uid=identity.uid,
        extra=_by_key(identity.extra),
        chosen_by=chosen_by,
    )


def _by_key(extra: Iterable[tuple[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """A key that comes twice has the values of both."""
    found: dict[str, tuple[str, ...]] = {}
    for key, values in extra:
        found[key] = found.get(key, ()) + values
    return found


def audited_query(query: bytes) -> tuple[str, ...]:
    """The parameters of a query, without what could be a secret."""
    return tuple(_audited_parameter(pair.decode("latin-1")) for pair in query.split(b"&") if pair)


def _audited_parameter(pair: str) -> str:
    name, equals, value = pair.partition("=")
    name = unquote_plus(name)
    return f"{name}={unquote_plus(value)}" if equals and name in _HARMLESS else name


_RECORD: Final = msgspec.json.Decoder(AuditRecord)
