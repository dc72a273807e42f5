"""`kasbah audit …`: who did what in which cluster, read from the hub or from the log's own files."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Annotated, Any, Final, NoReturn

from cyclopts import Parameter

from kasbah.cli.audit_source import FilesSource, open_source
from kasbah.cli.commands import noun
from kasbah.cli.durations import parse_duration
from kasbah.cli.errors import UsageError
from kasbah.cli.parameters import Here, Output
from kasbah.cli.resources import AuditProof, AuditRecordShown
from kasbah.cli.terminal import Column, text_of
from kasbah.errors import UserError
from kasbah.wire.audit_record import AuditFilter

Directory = Annotated[
    Path | None, Parameter(help="Read the log's files there, instead of asking the hub: needs no token.")
]
AgentId = Annotated[int, Parameter(name=["--agent", "-a"], help="Only this agent's id.")]
User = Annotated[str, Parameter(name=["--user", "-u"], help="Only this person: a user name, or an id.")]
Namespace = Annotated[str, Parameter(name=["--namespace", "-n"], help="Only this namespace.")]
Since = Annotated[
    str, Parameter(help="Only from then on: a duration (24h, 7d) or a time (2026-11-21T12:00:00Z).")
]
Verb = Annotated[str, Parameter(help="Only this verb: get, list, watch, create, update, patch, delete, …")]
RequestId = Annotated[str, Parameter(help="Only this request: the API server's audit log calls it auditID.")]
Failed = Annotated[
    bool, Parameter(negative="", help="Only what came to a bad end: an error, a refusal, a broken way.")
]

_LOOK_S: Final = 1.0
_HEAD: Final = re.compile(r"[0-9a-fA-F]{64}")
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


class AuditLogFaultError(UserError):
    """The audit log is not what was written."""


def list_(
    *,
    directory: Directory = None,
    agent: AgentId = 0,
    user: User = "",
    namespace: Namespace = "",
    since: Since = "",
    verb: Verb = "",
    request_id: RequestId = "",
    failed: Failed = False,
    limit: int = 50,
    output: Output = "table",
    here: Here,
) -> None:
    """List the newest requests, each by its newest record.

    A request that has not ended, or of which kas was killed, is shown as far as it came.

    Args:
        limit: How many at most.
    """
    if limit < 1:
        raise UsageError("--limit takes 1 or more")
    now = datetime.now(UTC)
    asked = _asked(
        now,
        since=since,
        agent_id=agent,
        user=user,
        namespace=namespace,
        verb=verb,
        request_id=request_id,
        failed=failed,
    )
    with open_source(directory, here) as source:
        found = list(islice(_newest_of_each(source.records(asked)), min(limit, sys.maxsize)))
    here.show(found, output, _columns(now), name="request_id")


def verify(
    *,
    directory: Directory = None,
    head: str = "",
    output: Output = "table",
    here: Here,
) -> None:
    """Prove that no record was changed, removed, moved or put in; exit 1 and name the first fault otherwise.

    What a chain cannot tell by itself, lines cut off at the very end and a log written anew, a head tells that was noted
    before: kas says it in its own log, and this command prints it.

    Args:
        head: A hash that the log had once; it must still be in it.
    """
    if head and not _HEAD.fullmatch(head):
        raise UsageError(f"--head {head!r} is no head: 64 hexadecimal digits, as this command prints them")
    with open_source(directory, here) as source:
        proof = source.verify(head.lower())
    if output == "table":
        for name, value in _told(proof):
            here.say(f"{name:<10}{value}")
    else:
        here.show(proof, output, [], name="hash")
    fault = proof["fault"]
    if fault is not None:
        raise AuditLogFaultError(f"{fault['file']}:{fault['line']}: {fault['text']}")


def export(
    *,
    directory: Directory = None,
    agent: AgentId = 0,
    user: User = "",
    namespace: Namespace = "",
    since: Since = "",
    verb: Verb = "",
    request_id: RequestId = "",
    failed: Failed = False,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False,
    here: Here,
) -> None:
    """Print every record, oldest first, one JSON object a line.

    Args:
        follow: Go on with what comes, until interrupted; only with --directory.
    """
    asked = _asked(
        datetime.now(UTC),
        since=since,
        agent_id=agent,
        user=user,
        namespace=namespace,
        verb=verb,
        request_id=request_id,
        failed=failed,
    )
    if follow:
        _follow(directory, asked, here)
    with open_source(directory, here) as source:
        _print(source.records(asked, oldest_first=True), here)


def _follow(directory: Path | None, asked: AuditFilter, here: Here) -> NoReturn:
    if directory is None:
        raise UsageError("--follow reads files: give --directory")
    read_new = FilesSource(directory).follow(asked)
    while True:
        _print(read_new(), here)
        here.stdout.flush()
        Event().wait(_LOOK_S)


def _print(records: Iterable[AuditRecordShown], here: Here) -> None:
    for record in records:
        # ASCII: clients choose their names, and some letters are commands to a terminal.
        here.say(json.dumps(record, separators=(",", ":")))


def _asked(now: datetime, *, since: str, **others: Any) -> AuditFilter:
    return AuditFilter(since=_moment(since, now), **others)


def _moment(text: str, now: datetime) -> str:
    """The moment as records write it; a duration is before now."""
    if not text:
        return ""
    try:
        at = _point(text, now)
    except (UsageError, OverflowError) as error:
        raise UsageError(
            f"--since {text!r} is neither a duration (24h) nor a time (2026-11-21T12:00:00Z)"
        ) from error
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _point(text: str, now: datetime) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return now - parse_duration(text)
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _newest_of_each(records: Iterable[AuditRecordShown]) -> Iterator[AuditRecordShown]:
    """One record a request, of those that come newest first."""
    seen: set[str] = set()
    for record in records:
        if record["request_id"] not in seen:
            seen.add(record["request_id"])
            yield record


def _columns(now: datetime) -> list[Column]:
    return [
        Column(title="AGE", render=lambda record: _age(str(record["at"]), now)),
        Column(title="USER", render=_of("user", "username")),
        Column(title="AS", render=_identity),
        Column(title="AGENT", render=text_of("agent_id")),
        Column(title="VERB", render=_of("target", "verb")),
        Column(title="WHAT", render=_what),
        Column(title="STATUS", render=text_of("status")),
        Column(title="OUTCOME", render=lambda record: record.get("outcome") or record["phase"]),
    ]


def _of(key: str, inner: str) -> Callable[[Mapping[str, object]], object]:
    return lambda record: _inner(record, key).get(inner)


def _inner(record: Mapping[str, object], key: str) -> Mapping[str, Any]:
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def _identity(record: Mapping[str, object]) -> str:
    identity = _inner(record, "identity")
    name = str(identity.get("username") or "agent")
    return f"{name} (--as)" if identity.get("chosen_by") == "client" else name


def _what(record: Mapping[str, object]) -> str:
    """`deployments.apps/scale web/shop`, or the path when no resource is named."""
    target = _inner(record, "target")
    if not target.get("resource"):
        return str(target.get("path", ""))
    group, subresource = target.get("group"), target.get("subresource")
    kind = f"{target['resource']}.{group}" if group else str(target["resource"])
    kind = f"{kind}/{subresource}" if subresource else kind
    place = "/".join(str(target[key]) for key in ("namespace", "name") if target.get(key))
    return f"{kind} {place}".rstrip()


def _age(at: str, now: datetime) -> str:
    """`3m`: the largest unit, rounded down."""
    seconds = max(0, (now - datetime.fromisoformat(at)) // timedelta(seconds=1))
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return "now"


def _told(proof: AuditProof) -> Iterator[tuple[str, str]]:
    yield "log", proof["log"] or "-"
    files = "1 segment" if proof["segments"] == 1 else f"{proof['segments']:,} segments"
    yield "lines", f"{proof['first']:,} to {proof['sequence']:,} in {files}"
    yield "head", proof["hash"] or "-"
    for aside in proof["set_aside"]:
        yield (
            "set aside",
            f"{aside['bytes']:,} bytes at the end of segment {aside['segment']}, cut off by a crash",
        )
    fault = proof["fault"]
    yield "fault", "none" if fault is None else f"{fault['file']} line {fault['line']}: {fault['text']}"


app = noun.build("audit", list_, verify, export)
